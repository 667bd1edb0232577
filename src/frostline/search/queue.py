"""The trials of a study: which count, which have died, and which comes next.

Everything a study needs to go on is in its database, in Optuna's own tables: any process that opens it may ask for a
trial, and a trial tells its own result. Whether a trial is alive is told by a lock on a file, which the system lets go
of when the process dies.
"""

from __future__ import annotations

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from filelock import FileLock, Timeout
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from frostline.evaluation.intervals import DIGITS
from frostline.search.study import Plan

Params = Mapping[str, Any]

TRIAL_LOCK = ".trial.lock"
RESUMED_FROM = "last.ckpt"  # callbacks.LAST, whose module takes seconds to import
MOST_DEATHS = 3  # of the same settings, before they are taken to be the cause
SAME_AGAIN = ("memory", "diverged")  # failures that the same settings would have again


def failure_of(trial: FrozenTrial) -> dict[str, str]:
    """Why a trial failed: `kind` (memory, diverged, error, died, stopped) and `text`."""
    found: dict[str, str] = trial.user_attrs.get("failure", {"kind": "error", "text": "no reason is known"})
    return found


def fail_trial(study: optuna.Study, number: int, kind: str, text: str) -> None:
    """Mark an unfinished trial as failed, with the reason, and give back the disk space of its checkpoint."""
    trial = study.get_trials(deepcopy=False)[number]
    if trial.state.is_finished():
        return
    Trial(study, trial._trial_id).set_user_attr("failure", {"kind": kind, "text": text})
    study.tell(number, state=TrialState.FAIL)
    for lock in trial.user_attrs.get("locks", ()):
        Path(lock).with_name(RESUMED_FROM).unlink(missing_ok=True)  # it is done again from the start


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
    the cause. One whose process died is always done again; but settings that have died `MOST_DEATHS` times, and once
    more in this call, are left to the next call.
    """
    kept = []
    for t in trials:
        if t.state in (TrialState.COMPLETE, TrialState.PRUNED):
            kept.append(t)
        elif _failed(t):
            kind = failure_of(t)["kind"]
            fresh = t.datetime_complete is not None and t.datetime_complete >= began
            if kind in SAME_AGAIN or (kind == "error" and fresh) or (kind == "died" and _given_up(t, trials, began)):
                kept.append(t)
    return kept


def deaths_of(params: Params, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials of these settings whose process died, in order."""
    return [t for t in trials if _failed(t) and t.params == params and failure_of(t)["kind"] == "died"]


def _given_up(trial: FrozenTrial, trials: Sequence[FrozenTrial], began: datetime) -> bool:
    deaths = deaths_of(trial.params, trials)
    started = trial.datetime_start
    return trial is deaths[-1] and len(deaths) >= MOST_DEATHS and started is not None and started >= began


def _failed(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL


def params_of(trial: FrozenTrial) -> Params:
    """The settings of a trial, also of one that waits."""
    fixed: Params = trial.system_attrs.get("fixed_params", {})
    return trial.params or fixed


def over_budget(study: optuna.Study) -> bool:
    """Whether more trials have failed than the study allows."""
    allowed = study.user_attrs.get("failures_allowed")
    return allowed is not None and count_failures(study) > int(allowed)


def count_failures(study: optuna.Study) -> int:
    """Trials that failed by themselves since the call began; the stopped and the dead are not counted."""
    since = study.user_attrs.get("failures_since", "")
    return sum(
        failure_of(t)["kind"] not in ("died", "stopped")
        for t in study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        if t.datetime_complete is not None and t.datetime_complete.isoformat() >= since
    )


class Best(NamedTuple):
    """The settings with the highest mean over repeated seeds."""

    settings: dict[str, Any]
    trial: int
    value: float
    repeats: int
    ties: list[dict[str, Any]]
    """Other settings with the same mean."""


def best_settings(study: optuna.Study) -> Best:
    """Settings with the highest mean over repeated seeds; of equal ones those tried first.

    Settings with fewer complete seeds than others do not compete: one lucky seed is no mean of three. Raises
    `LookupError` when no trial is complete.
    """
    repeats: dict[tuple[tuple[str, Any], ...], list[FrozenTrial]] = defaultdict(list)
    for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        repeats[tuple((k, v) for k, v in t.params.items() if k != "seed")].append(t)
    if not repeats:
        raise LookupError("no trial is complete")
    most = max(len(trials) for trials in repeats.values())
    means = {
        key: round(statistics.mean(t.value or 0 for t in trials), DIGITS)
        for key, trials in repeats.items()
        if len(trials) == most
    }
    key = max(means, key=lambda k: means[k])
    best = max(repeats[key], key=lambda t: t.value or 0)
    ties = [dict(k) for k in means if k != key and means[k] == means[key]]
    return Best(dict(key), best.number, means[key], most, ties)


class Asker:
    """Hands out trials of a study, one after the other, to any number of processes: each is done, none twice."""

    def __init__(
        self,
        study: optuna.Study,
        plan: Plan,
        folder: Path,
        began: datetime,
        build_sampler: Callable[[int], BaseSampler] | None = None,
    ) -> None:
        self.study, self.plan = study, plan
        self._folder, self._build_sampler = folder, build_sampler
        locks = folder / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        self._one_at_a_time = FileLock(locks / "ask")
        self._alive = FileLock(locks / f"sweeper-{os.getpid()}-{time.time_ns()}")
        with self._one_at_a_time:  # a lock that is just being taken would look like one that was left
            held = {left: is_held(left) for left in locks.glob("sweeper-*")}
            for left in (left for left, alive in held.items() if not alive):
                left.unlink(missing_ok=True)
        since = study.user_attrs.get("failures_since")
        self.joins = any(held.values())
        """Whether other processes are at work on the study: this one is then part of the call that they began."""
        self.began = datetime.fromisoformat(since) if self.joins and since else began

    @contextmanager
    def living(self) -> Iterator[None]:
        """Hold the lock by which others see that this process is alive."""
        with self._one_at_a_time:
            self._alive.acquire()
            bury_dead(self.study)
        try:
            yield
        finally:
            self._alive.release()

    def ask(self) -> Trial | None:
        """The next trial, its settings drawn, or None when all are done or being done."""
        with self._one_at_a_time:  # the sampler is built here too, or two processes would draw the same
            bury_dead(self.study)
            trials = self.study.get_trials(deepcopy=False)
            drawn, taken = self.plan.cells is None, len(self._taken(trials))
            if not any(t.state == TrialState.WAITING for t in trials):
                if drawn and taken >= self.plan.trials:
                    return None
                if left := self._left(trials):
                    self.study.enqueue_trial(dict(left[0]))
                elif not drawn:
                    return None
            if drawn and self._build_sampler is not None:
                self.study.sampler = self._build_sampler(taken)
            trial = self.study.ask(self.plan.space)
            locks = [self._alive.lock_file, str(self._folder / f"trial-{trial.number}" / TRIAL_LOCK)]
            trial.set_user_attr("locks", locks)
            return trial

    def _taken(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        return [*settled(trials, self.began), *(t for t in trials if t.state == TrialState.RUNNING)]

    def _left(self, trials: Sequence[FrozenTrial]) -> list[Params]:
        """Settings that are known and not taken: cells of a grid; of a search those that failed, and the first.

        Settings that keep killing their process come last, so that they hold up nothing else.
        """
        taken = [params_of(t) for t in self._taken(trials)]
        known = self.plan.cells
        if known is None:
            known = [*(t.params for t in trials if _failed(t)), *self.plan.first]
        left = [params for params in known if not any(params.items() <= done.items() for done in taken)]
        return sorted(left, key=lambda params: len(deaths_of(params, trials)) >= MOST_DEATHS)
