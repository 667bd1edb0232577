"""Chosen on validation after training: the threshold for the positive class and the temperature; and what they do."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from frostline.evaluation.calibration import choose_temperature, scale
from frostline.evaluation.intervals import FEWEST, NONE, effective_groups, proportion_interval
from frostline.evaluation.predictive_values import Estimate, predictive_values
from frostline.evaluation.tolerance import demand, independent_images
from frostline.evaluation.weighted_metrics import WeightedMetrics
from frostline.task import Task

SCALED = ("loss", "overconfidence", "calibration_error")  # what the temperature moves


@dataclass(frozen=True)
class Tuned:
    """Chosen on validation, applied to any split."""

    sensitivity: float
    """Wanted share of positive images found, 0..1."""
    threshold: float
    """A probability of the positive class from here on counts as found; NaN without positive images in validation."""
    temperature: float
    """Logits are divided by it."""
    confidence: float | None = None
    """Wanted share of repetitions in which the sensitivity is kept; None: it is kept on validation."""
    kept: float = math.nan
    """That share as far as the images allow, at least; NaN without `confidence`."""
    effective: float = math.nan
    """How many independent positive images those of validation are worth; NaN without `confidence`."""


def tune(
    probabilities: np.ndarray,
    targets: np.ndarray,
    task: Task,
    sensitivity: float,
    groups: np.ndarray | None = None,
    confidence: float | None = None,
) -> Tuned:
    """Choose threshold and temperature by probabilities [N, C] and classes [N] of the validation set.

    With `confidence` the threshold is one that keeps `sensitivity` below 1 with it, at the effective number of positive
    images in `groups` [N] (none: each its own).
    """
    together = np.arange(len(targets)) if groups is None else groups
    i, temperature = task.positive_index, choose_temperature(probabilities, targets, together)
    if i is None:
        return Tuned(sensitivity, math.nan, temperature)
    scores, positive = probabilities[:, i], targets == i
    if confidence is None:
        return Tuned(sensitivity, choose_threshold(scores, positive, sensitivity), temperature)
    effective = independent_images(scores[positive], together[positive])
    asked = demand(sensitivity, confidence, effective)
    threshold = choose_threshold(scores, positive, asked.share)
    return Tuned(sensitivity, threshold, temperature, confidence, asked.kept, effective)


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
    stage: str,
    probabilities: np.ndarray,
    targets: np.ndarray,
    task: Task,
    groups: np.ndarray,
    tuned: Tuned,
    prevalence: float | None = None,
) -> dict[str, float]:
    """Loss and calibration after scaling; with a positive class what its threshold does to the split.

    `stage/operating/...` are sensitivity, specificity and precision, NaN where no image is of that kind; `ppv` and
    `npv` at `operating/prevalence`, which is `prevalence`, or else that of the images. Intervals stand where there are
    groups enough; loss and calibration have none.
    """
    values: dict[str, float] = {}
    if (i := task.positive_index) is not None:
        found = at_threshold(probabilities[:, i] >= tuned.threshold, targets == i, groups, prevalence)
        known = tuned.threshold == tuned.threshold
        values = {f"{stage}/operating/{key}": value if known else math.nan for key, value in found.items()}
    scaled = WeightedMetrics(scale(probabilities, tuned.temperature), targets, task, SCALED)
    return values | {f"{stage}/scaled/{name}": value for name, value in scaled.once().items()}


def at_threshold(
    called: np.ndarray, positive: np.ndarray, groups: np.ndarray, prevalence: float | None = None
) -> dict[str, float]:
    """Sensitivity, specificity, precision, `ppv`, `npv` of images `called` positive, bool [N], beside the truth [N].

    Each has `/lower` and `/upper` by `groups` [N]; NaN where no image is of that kind.
    """

    def share(where: np.ndarray) -> Estimate:
        right = (called == positive)[where]
        if not len(right):
            return math.nan, NONE
        enough = effective_groups(groups[where]) >= FEWEST
        return float(right.mean()), proportion_interval(right, groups[where]) if enough else NONE

    found = {"sensitivity": share(positive), "specificity": share(~positive), "precision": share(called)}
    if prevalence is None:
        found |= {"ppv": found["precision"], "npv": share(~called)}
    else:
        found["ppv"], found["npv"] = predictive_values(found["sensitivity"], found["specificity"], prevalence)
    values = {"prevalence": float(positive.mean()) if prevalence is None else prevalence}
    for name, (value, (low, high)) in found.items():
        values |= {name: value, f"{name}/lower": low, f"{name}/upper": high}
    return values
