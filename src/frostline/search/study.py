"""A study in its database: what it is, which trials count, which have died, and what to try next.

Everything a study needs to go on is in the database, in Optuna's own tables: any process that opens it may ask for a
trial, and a trial tells its own result. Whether a trial is alive is told by a lock on a file, which the system lets go
of when the process dies.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from frostline.config import ConfigError, FrostlineError
from frostline.search.pruning import build_pruner

Params = Mapping[str, Any]

TRIAL_LOCK = ".trial.lock"
MOST_DEATHS = 3  # of the same settings, before they are taken to be the cause
SAME_AGAIN = ("memory", "diverged")  # failures that the same settings would have again


@dataclass(frozen=True)
class Plan:
    """What a study searches: `space` by option, all `cells` of a grid (None: a sampler draws), and what is fixed."""

    name: str
    objective: str
    space: dict[str, BaseDistribution]
    cells: list[dict[str, Any]] | None
    trials: int
    pruner: dict[str, Any]
    fixed: dict[str, Any]
    """All other options that bear on the result, by full name."""
    data: str
    """Fingerprint of the data set."""


def open_storage(url: str) -> RDBStorage:
    """Open or create a database of studies. Raises `FrostlineError` when that is not possible."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    arguments = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    try:
        if not url.startswith("sqlite:///"):
            return RDBStorage(url)
        file = Path(url.removeprefix("sqlite:///"))
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock")):  # two processes may come first
            return RDBStorage(url, engine_kwargs=arguments)
    except Exception as error:  # SQLAlchemy, Alembic and the database's driver raise their own
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise FrostlineError(
            f"hydra.sweeper.storage={url}: cannot be opened as a database of studies ({first})"
        ) from None


def open_study(url: str, name: str) -> optuna.Study:
    """Open the study `name` with the pruner it was begun with. Raises `ConfigError` when there is none."""
    storage = open_storage(url)
    try:
        study = optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        known = ", ".join(sorted(optuna.get_all_study_names(storage))) or "none"
        raise ConfigError(f"there is no study {name!r} in {url} (there: {known})") from None
    pruner = study.user_attrs["frostline"]["pruner"]
    study.pruner = build_pruner(pruner["name"], pruner["options"])
    return study


def begin_study(url: str, plan: Plan) -> optuna.Study:
    """Open the study of `plan`, creating it the first time.

    Raises `ConfigError` when the study there searches another space, or other data, or keeps other options fixed.
    """
    storage = open_storage(url)
    study = optuna.create_study(study_name=plan.name, storage=storage, direction="maximize", load_if_exists=True)
    now = {
        "objective": plan.objective,
        "space": {name: json.loads(distribution_to_json(d)) for name, d in plan.space.items()},
        "cells": plan.cells,
        "fixed": plan.fixed,
        "data": plan.data,
        "pruner": plan.pruner,
    }
    now = json.loads(json.dumps(now))
    then = study.user_attrs.get("frostline")
    if then is None:
        study.set_user_attr("frostline", now)
    elif (difference := _difference(then, now)) is not None:
        raise ConfigError(
            f"study {plan.name!r} was begun with {difference}; start a new one with study=NAME, or go on with the old "
            "options"
        )
    study.pruner = build_pruner(plan.pruner["name"], plan.pruner["options"])
    return study


def _difference(then: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """What makes the results of two plans not comparable, in words; None if nothing does."""
    for name in sorted({*then["space"], *now["space"]}):
        a, b = then["space"].get(name), now["space"].get(name)
        if a != b:
            return f"{name} {_in_words(a)}, not {_in_words(b)}"
    if then["cells"] != now["cells"]:
        return "another grid" if then["cells"] and now["cells"] else "another sampler"
    for name in sorted({*then["fixed"], *now["fixed"]}):
        a, b = then["fixed"].get(name), now["fixed"].get(name)
        if a != b:
            return f"{name}={_plain(a)}, not {_plain(b)}"
    for name in ("objective", "pruner"):
        if then[name] != now[name]:
            return f"{name} {_plain(then[name])}, not {_plain(now[name])}"
    if then["data"] != now["data"]:
        return "other images: files were added, removed or changed since"
    return None


def _in_words(distribution: Mapping[str, Any] | None) -> str:
    if distribution is None:
        return "not searched"
    a = distribution["attributes"]
    if "choices" in a:
        return f"out of {', '.join(str(c) for c in a['choices'])}"
    step = f" in steps of {a['step']}" if a.get("step") else ""
    return f"from {a['low']} to {a['high']}{step}{' (log)' if a.get('log') else ''}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# --- which trials count, and what comes next -------------------------------------------------------------------------


def failure_of(trial: FrozenTrial) -> dict[str, str]:
    """Why a trial failed: `kind` (memory, diverged, error, died, stopped) and `text`."""
    found: dict[str, str] = trial.user_attrs.get("failure", {"kind": "error", "text": "no reason is known"})
    return found


def fail_trial(study: optuna.Study, number: int, kind: str, text: str) -> None:
    """Mark an unfinished trial as failed, with the reason."""
    trial = study.get_trials(deepcopy=False)[number]
    if trial.state.is_finished():
        return
    Trial(study, trial._trial_id).set_user_attr("failure", {"kind": kind, "text": text})
    study.tell(number, state=TrialState.FAIL)


def bury_dead(study: optuna.Study) -> list[int]:
    """Mark the trials as failed whose process has died; returns their numbers."""
    dead = [
        t.number
        for t in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if not any(is_held(Path(lock)) for lock in t.user_attrs.get("locks", ()))
    ]
    for number in dead:
        fail_trial(study, number, "died", "its process died")
    return dead


def is_held(lock: Path) -> bool:
    """Whether a living process holds the lock."""
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def settled(trials: Sequence[FrozenTrial], began: datetime) -> list[FrozenTrial]:
    """The trials that need not be done (again): finished ones, and failures that would happen again.

    A trial that failed with an error before `began`, this call's start, is worth another try: somebody may have mended
    the cause. One whose process died is always done again, but for settings that have died `MOST_DEATHS` times.
    """
    kept = []
    for t in trials:
        if t.state in (TrialState.COMPLETE, TrialState.PRUNED):
            kept.append(t)
        elif t.state == TrialState.FAIL:
            kind = failure_of(t)["kind"]
            deaths = sum(o.params == t.params and failure_of(o)["kind"] == "died" for o in trials if _failed(o))
            fresh = t.datetime_complete is not None and t.datetime_complete >= began
            if kind in SAME_AGAIN or (kind == "error" and fresh) or deaths >= MOST_DEATHS:
                kept.append(t)
    return kept


def _failed(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL


def params_of(trial: FrozenTrial) -> Params:
    """The settings of a trial, also of one that waits."""
    fixed: Params = trial.system_attrs.get("fixed_params", {})
    return trial.params or fixed


class Asker:
    """Hands out trials of a study, one after the other, to any number of processes: each is done, none twice."""

    def __init__(self, study: optuna.Study, plan: Plan, folder: Path, began: datetime) -> None:
        self.study, self.plan, self.began = study, plan, began
        self._folder, locks = folder, folder / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        for left in locks.glob("sweeper-*"):
            if not is_held(left):
                left.unlink(missing_ok=True)
        self._one_at_a_time = FileLock(locks / "ask")
        self._alive = FileLock(locks / f"sweeper-{os.getpid()}-{time.time_ns()}")

    @contextmanager
    def living(self) -> Iterator[None]:
        """Hold the lock by which others see that this process is alive."""
        with self._alive:
            with self._one_at_a_time:
                bury_dead(self.study)
            yield

    def ask(self) -> Trial | None:
        """The next trial, its settings drawn, or None when all are done or being done."""
        with self._one_at_a_time:
            bury_dead(self.study)
            trials = self.study.get_trials(deepcopy=False)
            if not any(t.state == TrialState.WAITING for t in trials):
                left = self._left(trials)
                if left:
                    self.study.enqueue_trial(dict(left[0]))
                elif self.plan.cells is not None or len(self._taken(trials)) >= self.plan.trials:
                    return None
            trial = self.study.ask(self.plan.space)
            locks = [self._alive.lock_file, str(self._folder / f"trial-{trial.number}" / TRIAL_LOCK)]
            trial.set_user_attr("locks", locks)
            return trial

    def count_taken(self) -> int:
        """How many trials are done or being done."""
        return len(self._taken(self.study.get_trials(deepcopy=False)))

    def _taken(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        return [*settled(trials, self.began), *(t for t in trials if t.state == TrialState.RUNNING)]

    def _left(self, trials: Sequence[FrozenTrial]) -> list[Params]:
        """Settings that are known and not taken: cells of a grid, or those of trials that have died or failed."""
        taken = [params_of(t) for t in self._taken(trials)]
        known = self.plan.cells if self.plan.cells is not None else [t.params for t in trials if _failed(t)]
        return [params for i, params in enumerate(known) if params not in taken and params not in known[:i]]
