"""What is chosen on validation after training, the threshold for malignant and the temperature, and what it does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torchmetrics.functional.classification import binary_precision_recall_curve, binary_roc

from frostline.evaluation.calibration import fit_temperature, scale
from frostline.evaluation.intervals import bootstrap, proportion_interval
from frostline.evaluation.weighted_metrics import BIASED, MALIGNANT, WeightedMetrics


@dataclass(frozen=True)
class Tuned:
    """Chosen on validation, applied to any split."""

    sensitivity: float
    """Wanted share of malignant images found, 0..1."""
    threshold: float
    """A probability of malignant from here on counts as found; NaN without malignant images in validation."""
    temperature: float
    """Logits are divided by it."""


def tune(probabilities: np.ndarray, targets: np.ndarray, classes: Sequence[str], sensitivity: float) -> Tuned:
    """Choose threshold and temperature by probabilities [N, C] and classes [N] of the validation set."""
    i = list(classes).index(MALIGNANT)
    threshold = choose_threshold(probabilities[:, i], targets == i, sensitivity)
    return Tuned(sensitivity, threshold, fit_temperature(probabilities, targets))


def choose_threshold(scores: np.ndarray, positive: np.ndarray, sensitivity: float) -> float:
    """The highest threshold at which at least `sensitivity` of the positives have a score as high; NaN without any.

    It lies halfway between the score that it must reach and the next lower one of any image.
    """
    if not positive.any():
        return math.nan
    found = np.sort(scores[positive])[::-1]
    needed = found[max(1, math.ceil(sensitivity * len(found) - 1e-9)) - 1]
    below = scores[scores < needed]
    return float((needed + below.max()) / 2) if len(below) else float(needed)


def curves(scores: np.ndarray, positive: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """`roc`: false positive rate and sensitivity; `precision_recall`: recall and precision (torchmetrics)."""
    s, p = torch.from_numpy(scores.astype(float)), torch.from_numpy(positive.astype(int))
    alarms, found, _ = binary_roc(s, p)
    precision, recall, _ = binary_precision_recall_curve(s, p)
    return {"roc": (alarms.numpy(), found.numpy()), "precision_recall": (recall.numpy(), precision.numpy())}


def evaluate_tuned(
    stage: str, probabilities: np.ndarray, targets: np.ndarray, classes: Sequence[str], groups: np.ndarray, tuned: Tuned
) -> dict[str, float]:
    """Sensitivity, specificity and precision at the threshold, loss and calibration error after scaling."""
    i = list(classes).index(MALIGNANT)
    malignant, called = targets == i, probabilities[:, i] >= tuned.threshold
    found: dict[str, float] = {}
    for name, where in (("sensitivity", malignant), ("specificity", ~malignant), ("precision", called)):
        right = (called == malignant)[where]
        possible = len(right) and tuned.threshold == tuned.threshold
        key = f"{stage}/operating/{name}"
        found[key] = float(right.mean()) if possible else math.nan
        found[f"{key}/lower"], found[f"{key}/upper"] = (
            proportion_interval(right, groups[where]) if possible else (math.nan,) * 2
        )
    scaled = WeightedMetrics(scale(probabilities, tuned.temperature), targets, classes)
    values, bounds = scaled(np.ones((1, len(targets)))), bootstrap(scaled, groups, biased=BIASED)
    for name in ("loss", "calibration_error"):
        key = f"{stage}/scaled/{name}"
        found[key], (found[f"{key}/lower"], found[f"{key}/upper"]) = float(values[name][0]), bounds[name]
    return found
