"""Trials that failed: why, whether they count, and which are done again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, Trial, TrialState

from frostline.runs.folder import RunFolder
from frostline.search.repeats import Key, Params, key_of, settings_of

SAME_AGAIN = ("memory", "diverged")  # failures that the same settings would have again
MOST_DEATHS = 3  # of the same settings, before they are taken to be the cause


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
        RunFolder(Path(lock).parent).last_checkpoint.unlink(missing_ok=True)  # it is done again from the start


def fail_stale_trials(study: optuna.Study) -> list[int]:
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
        elif t.state == TrialState.FAIL:
            kind = failure_of(t)["kind"]
            fresh = t.datetime_complete is not None and t.datetime_complete >= began
            if kind in SAME_AGAIN or (kind == "error" and fresh) or (kind == "died" and _given_up(t, trials, began)):
                kept.append(t)
    return kept


def ended_settings(trials: Sequence[FrozenTrial]) -> set[Key]:
    """Settings of which a trial was pruned, or failed as it would again: none of their other repeats is run."""
    return {
        key_of(settings_of(params_of(t)))
        for t in trials
        if t.state == TrialState.PRUNED or (t.state == TrialState.FAIL and failure_of(t)["kind"] in SAME_AGAIN)
    }


def deaths_of(params: Params, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials of these settings whose process died, in order."""
    return [t for t in trials if t.state == TrialState.FAIL and t.params == params and failure_of(t)["kind"] == "died"]


def _given_up(trial: FrozenTrial, trials: Sequence[FrozenTrial], began: datetime) -> bool:
    deaths = deaths_of(trial.params, trials)
    started = trial.datetime_start
    return trial is deaths[-1] and len(deaths) >= MOST_DEATHS and started is not None and started >= began


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
