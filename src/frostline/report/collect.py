"""What a folder of logs holds, as plain values: studies with their trials, and finished runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna import get_all_study_names
from optuna.trial import TrialState

from frostline.config.checks import STUDY_NAME
from frostline.errors import FrostlineError
from frostline.plots.study import TrialPoint
from frostline.runs.finished import FinishedRun, read_run
from frostline.runs.folder import find_finished
from frostline.runs.holdout import count_uses, users_of, uses_in_words
from frostline.search.failures import failure_of, params_of
from frostline.search.outcome import importances_of, points_of
from frostline.search.race import Standing, standing_of
from frostline.search.repeats import REPEATED
from frostline.search.storage import open_storage, storages_in
from frostline.search.study import margin_of
from frostline.search.tables import state_of
from frostline.search.trials import trials_of
from frostline.task import LUNG, Task


@dataclass(frozen=True)
class TrialData:
    """A trial: its settings by option, the objective of every epoch, and why it failed if it did."""

    number: int
    state: str
    value: float | None
    settings: dict[str, Any]
    history: tuple[float, ...]
    reason: str
    folder: Path


@dataclass(frozen=True)
class StudyData:
    """A study: what it searched, what it kept fixed, its trials."""

    name: str
    objective: str
    margin: float
    """How far behind the best counts as no worse, 0..1."""
    searched: tuple[str, ...]
    grid: bool
    fixed: dict[str, Any]
    trials: tuple[TrialData, ...]
    points: tuple[TrialPoint, ...]
    importances: dict[str, float]
    race: Standing | None = None
    """How its race stands, when it is one."""

    @property
    def options(self) -> list[str]:
        """What is searched, seeds and folds left out: these are repeats."""
        return [name for name in self.searched if name not in REPEATED]

    @property
    def complete(self) -> list[TrialData]:
        """Trials that ran to their end."""
        return [t for t in self.trials if t.state == "complete"]


@dataclass(frozen=True)
class Collected:
    """All of it."""

    title: str
    folder: Path
    """Where the page belongs."""
    logs_dir: Path
    studies: tuple[StudyData, ...]
    runs: tuple[FinishedRun, ...]
    broken: tuple[str, ...]
    """What is wrong with the runs that cannot be read."""

    def file(self, name: str) -> Path:
        """Where a page on it goes: `report.html` in its folder, `report-NAME.html` in that of logs for a name."""
        stem, _, ending = name.partition(".")
        return self.folder / (name if self.folder.resolve().name == self.title else f"{stem}-{self.title}.{ending}")

    @property
    def task(self) -> Task:
        """What the newest of the runs tells apart; the report's task when there is none."""
        return self.runs[-1].task if self.runs else LUNG

    def run_of(self, trial: TrialData) -> FinishedRun | None:
        """The run of a trial, when its folder is there."""
        return self._run_in.get(trial.folder.resolve())

    @cached_property
    def _run_in(self) -> dict[Path, FinishedRun]:
        return {run.folder.resolve(): run for run in self.runs}

    def holdout_uses(self, runs: Iterable[FinishedRun | None]) -> str:
        """How often the test sets of `runs` have been evaluated, in words: by these runs or by others that log here."""
        known = [r for r in runs if r is not None]
        own = Counter(r.test_set for r in known if "test" in r.predictions)  # folders may have come from elsewhere
        users = Counter(r.folder.resolve().parent.name for r in known if "test" in r.predictions)
        for folder in (self.logs_dir, self.logs_dir.parent):
            own |= count_uses(folder, {r.test_set for r in known})
            users |= users_of(folder, {r.test_set for r in known})
        return uses_in_words(own, users)


def collect(target: str, storage: str | None = None) -> Collected:
    """Read `target`: a folder of logs, one study's folder in it, or the name of a study in `logs`.

    A name stands for the studies whose names begin with it too: `study` for `study-phase1`, `study-phase2` and
    `study-final`. `storage` is the database of the studies where it is not that of the folder of logs. Raises
    `FrostlineError` when nothing finished is found.
    """
    path = Path(target)
    if not path.is_dir() and "/" not in target and Path("logs").is_dir():
        path = Path("logs") / target
    whole = path.is_dir() and bool(storages_in(path) or not storages_in(path.parent))
    if storage is not None:
        whole = path.is_dir() and path.name not in get_all_study_names(open_storage(storage))
    logs_dir = path if whole else path.parent
    addresses = storages_in(logs_dir) if storage is None else [storage]
    studies = tuple(s for a in addresses for s in read_studies(a, logs_dir, None if whole else path.name))
    folders = [logs_dir] if whole else [path, *logs_dir.glob(f"{path.name}-*")]
    files = {found.path: None for folder in folders for found in find_finished(folder)}
    runs, broken = [], []
    for file in files:
        try:
            runs.append(read_run(file))
        except FrostlineError as error:
            broken.append(str(error))
    if not runs and not studies:
        raise FrostlineError(
            f"{target} holds no finished run and no study; give the folder of logs (logs), "
            "a study's folder (logs/NAME), or the name of a study"
        )
    return Collected(
        path.resolve().name, path if path.is_dir() else logs_dir, logs_dir, studies, tuple(runs), tuple(broken)
    )


def read_studies(url: str, logs_dir: Path, name: str | None) -> tuple[StudyData, ...]:
    """The studies in the database at `url`; with a name those that are called so, or so and `-...`."""
    storage = open_storage(url)
    names = [s.study_name for s in sorted(storage.get_all_studies(), key=lambda s: s._study_id)]  # as they were begun
    chosen = [n for n in names if name is None or n == name or n.startswith(f"{name}-")]
    chosen = [n for n in chosen if re.fullmatch(STUDY_NAME, n)]  # a database of others names no folder elsewhere
    return tuple(_read_study(optuna.load_study(study_name=n, storage=storage), logs_dir) for n in chosen)


def _read_study(study: optuna.Study, logs_dir: Path) -> StudyData:
    about = study.user_attrs.get("frostline", {})
    trials = tuple(
        TrialData(
            number=t.number,
            state=state_of(t),
            value=t.value,
            settings=dict(params_of(t)),
            history=tuple(v for _, v in sorted(t.intermediate_values.items())),
            reason=failure_of(t)["text"] if t.state == TrialState.FAIL else "",
            folder=logs_dir / study.study_name / f"trial-{t.number}",
        )
        for t in trials_of(study)
    )
    objective, grid = about.get("objective", "val/acc"), about.get("cells") is not None
    return StudyData(
        name=study.study_name,
        objective=objective,
        margin=margin_of(about),
        searched=tuple(about.get("space", {})),
        grid=grid,
        fixed=about.get("fixed", {}),
        trials=trials,
        points=points_of(study, objective),
        importances={} if grid else importances_of(study),
        race=standing_of(study),
    )
