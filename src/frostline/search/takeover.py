"""A trial goes on where one of the same settings was killed or stopped: with its checkpoint, history, tracked run."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import optuna
from optuna.trial import TrialState

from frostline.runs.folder import RunFolder
from frostline.search.failures import GOES_ON, failure_of
from frostline.search.liveness import TRIAL_LOCK
from frostline.search.trials import trials_of

log = logging.getLogger("frostline")


def take_over(study: optuna.Study, number: int, folder: Path, needs_best: bool) -> int | None:
    """Bring to trial `number` of the study in `folder` what a dead or stopped one of the same settings has left there.

    With `needs_best` the best epoch's weights must be there too. Returns the number of that trial, the one with most
    epochs of several; None where there is none here.
    """
    every = trials_of(study)
    mine = next(t for t in every if t.number == number)
    left = [
        t for t in every if t.state == TrialState.FAIL and t.params == mine.params and failure_of(t)["kind"] in GOES_ON
    ]
    found = [(len(run.read_history()), t.number) for t in left if _can_go_on(run := _run(folder, t.number), needs_best)]
    if not found:
        return None
    _, source = max(found)
    _move(_run(folder, source), _run(folder, number))
    log.info(f"goes on where trial {source} ended")
    return source


def _run(folder: Path, number: int) -> RunFolder:
    return RunFolder(folder / f"trial-{number}")


def _can_go_on(run: RunFolder, needs_best: bool) -> bool:
    states = run.last_checkpoint.is_file() or run.previous_checkpoint.is_file()
    return states and not run.is_elsewhere and (run.best_checkpoint.is_file() or not needs_best)


def _move(source: RunFolder, target: RunFolder) -> None:
    """All but what tells how that trial went; the state to go on from last, without which the rest is not looked at."""
    its_own = (source.log, source.config, source.manifest, source.environment, source.metrics)
    stay = {TRIAL_LOCK, *(file.name for file in its_own)}
    states = [source.previous_checkpoint, source.last_checkpoint]
    rest = [file for file in sorted(source.path.iterdir()) if file.name not in stay and file not in states]
    for file in [*rest, *(state for state in states if state.is_file())]:
        there = target.path / file.name
        if not there.exists():
            shutil.move(file, there)
