"""What the mean over seeds varies with: the groups of images, and the seeds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Variance(NamedTuple):
    """Variance of a mean over seeds, and the degrees of freedom of that estimate (Satterthwaite 1946)."""

    total: float
    degrees: float


def seed_variance(values: np.ndarray, covariance: np.ndarray, degrees: float) -> Variance:
    """Variance of the mean of `values` [R], one a seed, whose `covariance` over groups [R, R] has `degrees`.

    Seeds are readers and groups are cases of a multi-reader study (Obuchowski and Rockette 1995, Hillis 2007): the mean
    square between seeds over R, plus what two seeds have in common, the mean of the covariances. Never less than what
    the groups alone make of it. With one seed it is its variance over groups: nothing is known of other seeds.
    """
    count = len(values)
    of_groups = float(covariance.mean())
    if count == 1:
        return Variance(of_groups, degrees)
    common = max(0.0, float(covariance.sum() - np.trace(covariance)) / (count * (count - 1)))
    between = float(values.var(ddof=1)) / count
    total = between + common
    if total <= of_groups or not total > 0:
        return Variance(of_groups, degrees)
    return Variance(
        total, total**2 / (between**2 / (count - 1) + common**2 / max(degrees, 1.0)) if between else degrees
    )
