"""Trials that failed: why, whether they count, and which are done again."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from frostline.runs.folder import RunFolder
from frostline.search.repeats import Key, Params, key_of, settings_of

SAME_AGAIN = ("memory", "diverged")  # failures that the same settings would have again
GOES_ON = ("died", "stopped", "time")  # the next trial of the same settings takes over what these have done
DEATHS = ("died", "time")
MOST_DEATHS = 3  # of the same settings, before they are taken to be the cause


def failure_of(trial: FrozenTrial) -> dict[str, str]:
    """Why a trial failed: `kind` (memory, diverged, error, died, stopped, time, lost, twice, data) and `text`."""
    found: dict[str, str] = trial.user_attrs.get("failure", {"kind": "error", "text": "no reason is known"})
    return found


def fail_trial(study: optuna.Study, number: int, kind: str, text: str, run_dir: Path | None = None) -> None:
    """Mark an unfinished trial as failed, with the reason.

    The disk space of its checkpoint in `run_dir` is given back, unless another trial can go on from it.
    """
    trial = study.get_trials(deepcopy=False)[number]
    if trial.state.is_finished():
        return
    with suppress(UpdateFinishedTrialError):  # somebody was quicker
        Trial(study, trial._trial_id).set_user_attr("failure", {"kind": kind, "text": text})
    study.tell(number, state=TrialState.FAIL, skip_if_finished=True)
    if run_dir is not None and kind not in GOES_ON:
        RunFolder(run_dir).drop_checkpoints()


def settled(trials: Sequence[FrozenTrial], before: AbstractSet[int]) -> list[FrozenTrial]:
    """The trials that need not be done (again): finished ones, and failures that would happen again.

    A trial that failed with an error `before` this call, by its number, is worth another try: somebody may have mended
    the cause. One whose process died, or whose files are lost, is always done again; but settings that have died
    `MOST_DEATHS` times, and once more in this call, are left to the next call.
    """
    kept = []
    for t in trials:
        if t.state in (TrialState.COMPLETE, TrialState.PRUNED):
            kept.append(t)
        elif t.state == TrialState.FAIL:
            kind, fresh = failure_of(t)["kind"], t.number not in before
            if kind in SAME_AGAIN or (kind == "error" and fresh) or (kind in DEATHS and _given_up(t, trials, before)):
                kept.append(t)
    return kept


def is_answer(trial: FrozenTrial) -> bool:
    """Whether a trial has answered what its settings come to: with a value, pruned, or as it would fail again."""
    if trial.state == TrialState.FAIL:
        return failure_of(trial)["kind"] in SAME_AGAIN
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED)


def ended_settings(trials: Sequence[FrozenTrial]) -> set[Key]:
    """Settings of which a trial was pruned, or failed as it would again: none of their other repeats is run."""
    return {
        key_of(settings_of(params_of(t)))
        for t in trials
        if t.state == TrialState.PRUNED or (t.state == TrialState.FAIL and failure_of(t)["kind"] in SAME_AGAIN)
    }


def deaths_of(params: Params, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials of these settings that died, in order, or came to their time limit without having come further."""
    found, furthest = [], -1
    for t in trials:
        if t.state != TrialState.FAIL or t.params != params or (kind := failure_of(t)["kind"]) not in DEATHS:
            continue
        came_to = -1 if t.last_step is None else t.last_step
        if kind == "died" or came_to <= furthest:
            found.append(t)
        furthest = max(furthest, came_to)
    return found


def _given_up(trial: FrozenTrial, trials: Sequence[FrozenTrial], before: AbstractSet[int]) -> bool:
    deaths = deaths_of(trial.params, trials)
    return bool(deaths) and trial is deaths[-1] and len(deaths) >= MOST_DEATHS and trial.number not in before


def params_of(trial: FrozenTrial) -> Params:
    """The settings of a trial, also of one that waits, or of which only some are drawn yet."""
    fixed: Params = trial.system_attrs.get("fixed_params", {})
    return (trial.params or fixed) if trial.state.is_finished() else {**fixed, **trial.params}


def over_budget(study: optuna.Study) -> bool:
    """Whether more trials have failed than the study allows."""
    allowed = study.user_attrs.get("failures_allowed")
    return allowed is not None and count_failures(study) > int(allowed)


def count_failures(study: optuna.Study) -> int:
    """Trials that failed by themselves since the call began; the stopped, the dead and the lost are not counted."""
    first = int(study.user_attrs.get("failures_from", 0))
    return sum(
        failure_of(t)["kind"] in ("error", *SAME_AGAIN)
        for t in study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        if t.number >= first
    )
