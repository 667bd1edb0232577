"""Logistic recalibration (Cox 1958): calibration intercept and slope of one class, B samples at once."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

ROUNDS = 100  # of Newton's method; it takes about six
CLOSE = 1e-9  # change of a coefficient from which on nothing is gained
SMALLEST = 1e-12  # probability, as for the log loss


def log_odds(probabilities: np.ndarray, i: int) -> np.ndarray:
    """Log-odds [N] of class `i` against the rest, of probabilities [N, C].

    The rest is added up and not taken as 1 - p, which float32 rounds to 0.
    """
    p = probabilities.astype(float)
    rest = np.delete(p, i, axis=1).sum(1)
    odds: np.ndarray = np.log(np.clip(p[:, i], SMALLEST, None)) - np.log(np.clip(rest, SMALLEST, None))
    return odds


def calibration_intercept(logits: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Calibration in the large (Van Calster et al. 2019): a in logit P = a + logit p, slope 1; 0 is right, [B].

    `logits` float [N], `positive` bool [N], `weights` [B, N] of the images in each of B samples. Below 0 the network
    says the class too often. NaN where a sample lacks the class or the rest.
    """
    low, high = np.full(len(weights), -60.0), np.full(len(weights), 60.0)
    a = np.zeros(len(weights))
    for _ in range(ROUNDS):
        fitted = expit(a[:, None] + logits)
        gap = (weights * (positive - fitted)).sum(1)
        steepness = (weights * fitted * (1 - fitted)).sum(1)
        low, high = np.where(gap > 0, a, low), np.where(gap > 0, high, a)
        following = a + gap / np.maximum(steepness, 1e-300)
        outside = ~((low < following) & (following < high))  # then half the bracket
        following = np.where(outside, (low + high) / 2, following)
        moved, a = np.abs(following - a).max(), following
        if moved < CLOSE:
            break
    of_class, of_rest = weights @ positive, weights @ ~positive
    return np.where((of_class > 0) & (of_rest > 0), a, np.nan)


def calibration_slope(logits: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Slope b in logit P = a + b logit p by maximum likelihood (Cox 1958); 1 is right, below 1 too sure, [B].

    Arguments as of `calibration_intercept`. NaN where the class and the rest do not overlap: any slope fits better
    than a smaller one.
    """
    overlap = _overlap(logits, positive, weights)
    slopes = np.full(len(weights), np.nan)
    if overlap.any():
        known = weights[overlap]
        whole = _newton(logits, positive, known.mean(0, keepdims=True), np.array([[0.0, 1.0]]))
        slopes[overlap] = _newton(logits, positive, known, np.repeat(whole, len(known), axis=0))[:, 1]
    return slopes


def _overlap(logits: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Whether some of the rest score above some of the class, and the other way round, bool [B]."""
    there = weights > 0
    lowest, highest = np.where(there, logits, np.inf), np.where(there, logits, -np.inf)
    class_low, class_high = lowest[:, positive].min(1, initial=np.inf), highest[:, positive].max(1, initial=-np.inf)
    rest_low, rest_high = lowest[:, ~positive].min(1, initial=np.inf), highest[:, ~positive].max(1, initial=-np.inf)
    overlap: np.ndarray = (class_low < rest_high) & (rest_low < class_high)
    return overlap


def _newton(logits: np.ndarray, positive: np.ndarray, weights: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Intercept and slope [B, 2] of greatest likelihood, from `start`: Newton's method, steps halved that overshoot."""
    found = start.copy()
    likelihood = _likelihood(found, logits, positive, weights)
    for _ in range(ROUNDS):
        fitted = expit(found[:, :1] + found[:, 1:] * logits)
        gap, spread = weights * (positive - fitted), weights * fitted * (1 - fitted)
        g0, g1 = gap.sum(1), gap @ logits
        h00, h01, h11 = spread.sum(1), spread @ logits, spread @ logits**2
        area = np.maximum(h00 * h11 - h01**2, 1e-300)
        step = np.stack([(h11 * g0 - h01 * g1) / area, (h00 * g1 - h01 * g0) / area], axis=1)
        for _ in range(40):
            following = _likelihood(found + step, logits, positive, weights)
            worse = ~(following >= likelihood - 1e-9)
            if not worse.any():
                break
            step[worse] /= 2
        found, likelihood = found + step, following
        if np.abs(step).max() < CLOSE:
            break
    return found


def _likelihood(coefficients: np.ndarray, logits: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Log-likelihood [B] of coefficients [B, 2]."""
    linear = coefficients[:, :1] + coefficients[:, 1:] * logits
    likelihood: np.ndarray = (weights * (positive * linear - np.logaddexp(0, linear))).sum(1)
    return likelihood
