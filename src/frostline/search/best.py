"""The best settings of a study."""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import Any, NamedTuple

import optuna
from optuna.trial import FrozenTrial, TrialState

from frostline.evaluation.intervals import DIGITS


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
