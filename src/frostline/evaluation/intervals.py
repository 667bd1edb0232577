"""Confidence intervals of proportions."""

from __future__ import annotations

from scipy.stats import binomtest


def wilson(successes: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of `successes` of `total` (Wilson 1927, scipy.stats); (0, 1) when there is no trial.

    It takes the images as independent; slices of one patient are not, so the truth is wider.
    """
    if total == 0:
        return 0.0, 1.0
    interval = binomtest(successes, total).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)
