"""Confidence intervals that take groups into account: copies and slices of one patient are not independent."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student
from statsmodels.stats.proportion import proportion_confint

LEVEL = 0.95
NARROW = 0.90  # what two one-sided tests at 5 % take (Schuirmann 1987)
DIGITS = 9  # of a mean: equal shares of images differ behind them, by the order of adding up
ENOUGH = 12.0  # groups that err, and that do not, in effect, from which their correlation is estimated alone
FEWEST = 5.0  # groups of a class, in effect, without which its metrics have no interval

Interval = tuple[float, float]
NONE: Interval = (math.nan, math.nan)


def number_groups(groups: np.ndarray) -> np.ndarray:
    """Groups [N] of any kind as numbers 0..G-1, int [N], by order of name."""
    numbers: np.ndarray = np.unique(groups, return_inverse=True)[1]
    return numbers


def effective_number(sizes: np.ndarray) -> float:
    """How many groups of equal size say as much as groups of these `sizes` do (Kish 1965); 0 of none."""
    total = float((sizes * sizes).sum())
    return float(sizes.sum()) ** 2 / total if total else 0.0


def effective_groups(groups: np.ndarray) -> float:
    """`effective_number` of the groups [N] of some images."""
    return effective_number(np.bincount(number_groups(groups)).astype(float)) if len(groups) else 0.0


def wilson(successes: float, total: float, level: float = LEVEL) -> Interval:
    """Wilson's score interval of `successes` of `total`, 0..1 (Wilson 1927, statsmodels); (0, 1) of nothing."""
    if total <= 0:
        return 0.0, 1.0
    low, high = proportion_confint(successes, total, alpha=1 - level, method="wilson")
    return float(low), float(high)


def quantile(level: float, degrees: float = math.inf) -> float:
    """What a two-sided interval is wide, in standard errors: Student's t, the normal's for many `degrees`."""
    return float(student.ppf(0.5 + level / 2, max(degrees, 1.0)) if degrees < 1e6 else norm.ppf(0.5 + level / 2))


def bounded_interval(
    value: float,
    variance: float,
    *,
    groups: float,
    known: float,
    images: float = math.inf,
    degrees: float | None = None,
    level: float = LEVEL,
) -> Interval:
    """Interval of a `value` in 0..1 whose `variance` was estimated: Wilson's at the effective number of images.

    That is how many independent ones would have that variance. Where few groups err, or few do not, their correlation
    is hardly known and the estimate is too small more often than not. So the number is drawn towards `groups`, the
    effective number of groups, which it is when all images of a group go together: by how far `known`, the effective
    number of groups that the estimate rests on, is from `ENOUGH` (geometric mean; one group says nothing of a
    correlation, so it counts one less). The quantile is Student's at `degrees`, `groups` - 1 if not given; half-way to
    the normal's where nothing was estimated. This is the interval of Korn and Graubard (1998) and Franco et al. (2019)
    with that change, which simulation chose: docs/evidence.md has its coverage. At 0 or 1 every group counts as one
    image.
    """
    if value != value or variance != variance or groups <= 1:
        return NONE
    estimated = min(value * (1 - value) / variance, images) if variance > 0 and 0 < value < 1 else groups
    weight = min(1.0, max(0.0, known - 1) / ENOUGH)
    count = math.exp(weight * math.log(estimated) + (1 - weight) * math.log(min(estimated, groups)))
    exact = quantile(level, groups - 1 if degrees is None else degrees)
    return score_interval(value, count, weight * exact + (1 - weight) * (exact + quantile(level)) / 2)


def score_interval(share: float, count: float, z: float) -> Interval:
    """Wilson's interval of a share of `count` images, `z` standard errors wide."""
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))  # rounding moves 1 below 1


def proportion_interval(right: np.ndarray, groups: np.ndarray, level: float = LEVEL) -> Interval:
    """Interval of the share of `right`, bool [N], when images of one of `groups`, [N], go right or wrong together.

    `bounded_interval` with the variance between groups (jackknife), and the effective number of groups with a wrong
    image, or with a right one if those are fewer. (0, 1) without images; NaN with one group of several.
    """
    if not len(right):
        return 0.0, 1.0
    group = number_groups(groups)
    sizes = np.bincount(group).astype(float)
    hits = np.bincount(group, weights=right.astype(float))
    total, count = float(sizes.sum()), len(sizes)
    share = float(hits.sum() / total)
    if count == total:
        return wilson(hits.sum(), total, level)
    if count < 2:
        return NONE
    residuals = (hits - share * sizes) / (total - sizes)
    variance = (count - 1) / count * float(residuals @ residuals)
    known = erring_groups(right, group)
    return bounded_interval(share, variance, groups=effective_number(sizes), known=known, images=total, level=level)


def erring_groups(right: np.ndarray, group: np.ndarray) -> float:
    """Effective number of groups with a wrong image, or with a right one if fewer; `group` [N] are their numbers."""
    return min(effective_number(np.bincount(group, weights=of)) for of in (right.astype(float), 1.0 - right))


def real_interval(value: float, variance: float, degrees: float, level: float = LEVEL) -> Interval:
    """Interval of a `value` without limits: Student's t. NaN where nothing varies."""
    if value != value or not variance > 0:
        return NONE
    half = quantile(level, degrees) * math.sqrt(variance)
    return value - half, value + half


def mean_interval(
    value: float, parts: np.ndarray, ends: np.ndarray, correlation: np.ndarray, weights: np.ndarray
) -> Interval:
    """Interval of a weighted mean of `parts` [C] whose intervals are `ends` [C, 2]: MOVER (Zou and Donner 2008).

    `correlation` [C, C] is that of the estimates.
    """
    below, above = weights * (parts - ends[:, 0]), weights * (ends[:, 1] - parts)
    low, high = (math.sqrt(max(float(part @ correlation @ part), 0.0)) for part in (below, above))
    return value - low, value + high


def subtract(first: float, of_first: Interval, second: float, of_second: Interval) -> tuple[float, Interval]:
    """Difference of two independent values, its interval out of theirs: MOVER (Zou and Donner 2008)."""
    below = math.hypot(first - of_first[0], of_second[1] - second)
    above = math.hypot(of_first[1] - first, second - of_second[0])
    return first - second, (first - second - below, first - second + above)
