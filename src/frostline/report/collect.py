"""What a folder of logs holds, as plain values: studies with their trials, and finished runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from frostline.config import FrostlineError
from frostline.runs import FinishedRun, read_run
from frostline.search.results import importances_of, state_of
from frostline.search.study import open_storage
from frostline.search.trials import failure_of, params_of

DATABASE = "studies.db"


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
    """A study: what it searched, what it kept fixed, its trials, how often its test set was evaluated."""

    name: str
    objective: str
    searched: tuple[str, ...]
    grid: bool
    fixed: dict[str, Any]
    trials: tuple[TrialData, ...]
    importances: dict[str, float]
    test_evaluations: int

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

    def run_of(self, trial: TrialData) -> FinishedRun | None:
        """The run of a trial, when its folder is there."""
        return next((r for r in self.runs if r.folder.resolve() == trial.folder.resolve()), None)


def collect(target: str) -> Collected:
    """Read `target`: a folder of logs, one study's folder in it, or the name of a study in `logs`.

    A name stands for the studies whose names begin with it too: `study` for `study-phase1`, `study-phase2` and
    `study-final`. Raises `FrostlineError` when nothing finished is found.
    """
    path = Path(target)
    if not path.is_dir() and (Path("logs") / DATABASE).is_file() and "/" not in target:
        path = Path("logs") / target
    whole = path.is_dir() and ((path / DATABASE).is_file() or not (path.parent / DATABASE).is_file())
    logs_dir = path if whole else path.parent
    studies = read_studies(logs_dir, None if whole else path.name)
    folders = [logs_dir] if whole else [path, *logs_dir.glob(f"{path.name}-*")]
    files = sorted({file for folder in folders for file in folder.glob("**/metrics.json")})
    runs, broken = [], []
    for file in files:
        try:
            runs.append(read_run(file.parent))
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


def read_studies(logs_dir: Path, name: str | None) -> tuple[StudyData, ...]:
    """The studies in the database of `logs_dir`; with a name those that are called so, or so and `-...`."""
    if not (logs_dir / DATABASE).is_file():
        return ()
    storage = open_storage(f"sqlite:///{logs_dir / DATABASE}")
    names = [s.study_name for s in sorted(storage.get_all_studies(), key=lambda s: s._study_id)]  # as they were begun
    chosen = [n for n in names if name is None or n == name or n.startswith(f"{name}-")]
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
        for t in study.get_trials(deepcopy=False)
    )
    grid = about.get("cells") is not None
    return StudyData(
        name=study.study_name,
        objective=about.get("objective", "val/acc"),
        searched=tuple(about.get("space", {})),
        grid=grid,
        fixed=about.get("fixed", {}),
        trials=trials,
        importances={} if grid else importances_of(study),
        test_evaluations=len(study.user_attrs.get("test_evaluations", [])),
    )
