"""Chosen on validation after training: the threshold for the positive class and the temperature; and what they do."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from frostline.evaluation.calibration import fit_temperature, scale
from frostline.evaluation.intervals import FEWEST, NONE, effective_groups, proportion_interval
from frostline.evaluation.weighted_metrics import WeightedMetrics
from frostline.task import Task

SCALED = ("loss", "calibration_error")  # what the temperature moves


@dataclass(frozen=True)
class Tuned:
    """Chosen on validation, applied to any split."""

    sensitivity: float
    """Wanted share of positive images found, 0..1."""
    threshold: float
    """A probability of the positive class from here on counts as found; NaN without positive images in validation."""
    temperature: float
    """Logits are divided by it."""


def tune(probabilities: np.ndarray, targets: np.ndarray, task: Task, sensitivity: float) -> Tuned:
    """Choose threshold and temperature by probabilities [N, C] and classes [N] of the validation set."""
    i = task.positive_index
    threshold = math.nan if i is None else choose_threshold(probabilities[:, i], targets == i, sensitivity)
    return Tuned(sensitivity, threshold, fit_temperature(probabilities, targets))


def choose_threshold(scores: np.ndarray, positive: np.ndarray, sensitivity: float) -> float:
    """The highest threshold at which at least `sensitivity` of the positives have a score as high; NaN without any.

    It lies halfway between the score that it must reach and the next lower one of any image.
    """
    if not positive.any():
        return math.nan
    ranked = np.sort(scores[positive])[::-1]
    needed = ranked[max(1, math.ceil(sensitivity * len(ranked) - 1e-9)) - 1]
    below = scores[scores < needed]
    return float((needed + below.max()) / 2) if len(below) else float(needed)


def curves(scores: np.ndarray, positive: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """`roc`: false positive rate and sensitivity; `precision_recall`: recall and precision; a point a threshold.

    `scores` float [N], `positive` bool [N], with and without positives.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=np.inf))  # of each run of equal scores
    hits, called = positive[order].cumsum()[last], last + 1
    sensitivity, alarms = hits / positive.sum(), (called - hits) / (~positive).sum()
    roc = np.insert(alarms, 0, 0.0), np.insert(sensitivity, 0, 0.0)
    return {"roc": roc, "precision_recall": (np.insert(sensitivity, 0, 0.0), np.insert(hits / called, 0, 1.0))}


def evaluate_tuned(
    stage: str, probabilities: np.ndarray, targets: np.ndarray, task: Task, groups: np.ndarray, tuned: Tuned
) -> dict[str, float]:
    """Loss and calibration error after scaling; with a positive class what its threshold does to the split.

    `stage/operating/...` are sensitivity, specificity and precision, NaN where no image is of that kind, with intervals
    where there are groups enough; loss and calibration error have none (`catalog`).
    """
    values: dict[str, float] = {}
    if (i := task.positive_index) is not None:
        positive, called = targets == i, probabilities[:, i] >= tuned.threshold
        for name, where in (("sensitivity", positive), ("specificity", ~positive), ("precision", called)):
            right = (called == positive)[where]
            possible = len(right) and tuned.threshold == tuned.threshold
            enough = possible and effective_groups(groups[where]) >= FEWEST
            ends = proportion_interval(right, groups[where]) if enough else NONE
            key = f"{stage}/operating/{name}"
            values[key] = float(right.mean()) if possible else math.nan
            values[f"{key}/lower"], values[f"{key}/upper"] = ends
    scaled = WeightedMetrics(scale(probabilities, tuned.temperature), targets, task, SCALED)
    return values | {f"{stage}/scaled/{name}": value for name, value in scaled.once().items()}
