"""The trials of a study as they count: one that is complete, but whose files are gone, is not."""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial, TrialState

from frostline.errors import FrostlineError
from frostline.runs.folder import RunFolder
from frostline.search.liveness import MARKS
from frostline.search.study import ABOUT, USUAL

LOST = "lost"  # attribute of a study: numbers of such trials
DISK = "disk"  # attribute of a trial: on which one its files were written
DISK_FILE = ".disk"


def trials_of(study: optuna.Study, states: Collection[TrialState] | None = None) -> list[FrozenTrial]:
    """All trials by number, or those in `states`; the lost have failed.

    Those of before a study was run with several values of an option have the one that all had.
    """
    about = study.user_attrs
    lost, usual = set(about.get(LOST, ())), about.get(ABOUT, {}).get(USUAL, {})
    trials = [_as_lost(t) if t.number in lost else t for t in study.get_trials(deepcopy=False)]
    if usual:
        space = {name: json_to_distribution(json.dumps(about[ABOUT]["space"][name])) for name in usual}
        trials = [_with_usual(t, usual, space) for t in trials]
    return trials if states is None else [t for t in trials if t.state in states]


def _with_usual(trial: FrozenTrial, usual: Mapping[str, Any], space: Mapping[str, BaseDistribution]) -> FrozenTrial:
    has_drawn = trial.params or MARKS in trial.user_attrs or trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    if not has_drawn or set(usual) <= set(trial.params):
        return trial
    whole = copy.copy(trial)
    whole.distributions = {**space, **trial.distributions}
    whole.params = {**usual, **trial.params}
    return whole


def _as_lost(trial: FrozenTrial) -> FrozenTrial:
    lost = copy.copy(trial)
    lost.values, lost.state = None, TrialState.FAIL
    lost.user_attrs = {"failure": {"kind": "lost", "text": "its files are gone"}}
    return lost


def disk_of(folder: Path) -> str:
    """A name for the disk that the folder of a study is on: the same for all studies in the same folder of logs."""
    file = folder.parent / DISK_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("x") as new:
            new.write(uuid.uuid4().hex)
    except FileExistsError:
        pass
    return file.read_text()


def note_lost(study: optuna.Study, folder: Path) -> None:
    """Let the study say which of its complete trials were written here, and have no files any more.

    Those on the disks of other machines cannot be looked for. Call it with the study's lock held.
    """
    here = disk_of(folder)
    complete = (t for t in trials_of(study, [TrialState.COMPLETE]) if t.user_attrs.get(DISK) == here)
    gone = [t.number for t in complete if is_gone(folder, t.number)]
    if gone:
        study.set_user_attr(LOST, sorted({*study.user_attrs.get(LOST, ()), *gone}))


def is_gone(folder: Path, number: int) -> bool:
    """Whether the files of a finished trial are not, or not whole, in the folder of its study."""
    run = RunFolder(folder / f"trial-{number}")
    try:
        run.read_metrics()
    except FrostlineError:
        return True
    return not all(file.is_file() and file.stat().st_size for file in (run.config, run.manifest, run.predictions))
