"""Calibration: the temperature chosen on validation, and the reliability diagram."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from frostline.evaluation.intervals import proportion_interval

TEMPERATURES = 1 / 20, 20.0
PARTS = 5  # in which it is tried whether a temperature helps


def fit_temperature(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Temperature of least negative log-likelihood (Guo et al. 2017), within `TEMPERATURES`."""

    def loss(log_temperature: float) -> float:
        return float(log_loss(scale(probabilities, math.exp(log_temperature)), targets).mean())

    return float(math.exp(minimize_scalar(loss, bounds=tuple(map(math.log, TEMPERATURES)), method="bounded").x))


def choose_temperature(probabilities: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> float:
    """The temperature of least loss where it helps on images that did not choose it; else 1, which changes nothing.

    It is fitted on all groups but those of one of five parts, and tried on that part: cross-validation by group.
    """
    number = np.unique(groups, return_inverse=True)[1]
    parts = min(PARTS, int(number.max()) + 1)
    if parts < 2:
        return 1.0
    gain = 0.0
    for part in range(parts):
        out = number % parts == part
        temperature = fit_temperature(probabilities[~out], targets[~out])
        gain += float(
            (
                log_loss(probabilities[out], targets[out])
                - log_loss(scale(probabilities[out], temperature), targets[out])
            ).sum()
        )
    return fit_temperature(probabilities, targets) if gain > 0 else 1.0


def log_loss(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Negative log-likelihood of every image, [N]."""
    loss: np.ndarray = -np.log(np.clip(probabilities[np.arange(len(targets)), targets].astype(float), 1e-12, None))
    return loss


def scale(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities [N, C] after the logits were divided by `temperature`; log-probabilities are logits."""
    logits = np.log(np.clip(probabilities.astype(float), 1e-12, None)) / temperature
    powers = np.exp(logits - logits.max(1, keepdims=True))
    scaled: np.ndarray = powers / powers.sum(1, keepdims=True)
    return scaled


@dataclass(frozen=True)
class Bin:
    """Predictions of about the same confidence, 0..1: the mean of it, and the share of right ones with its interval."""

    confidence: float
    accuracy: float
    lower: float
    upper: float
    images: int


def reliability(probabilities: np.ndarray, targets: np.ndarray, groups: np.ndarray, bins: int = 10) -> list[Bin]:
    """Bins of equal width that hold an image, for a reliability diagram (DeGroot and Fienberg 1983)."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == targets
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        Bin(
            float(confidence[i].mean()), float(right[i].mean()), *proportion_interval(right[i], groups[i]), int(i.sum())
        )
        for i in (place == b for b in np.unique(place))
    ]
