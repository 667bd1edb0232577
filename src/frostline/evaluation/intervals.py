"""95 % confidence intervals that take groups into account: copies and slices of one patient are not independent."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np
from scipy.stats import t as student
from statsmodels.stats.proportion import proportion_confint

LEVEL = 0.95
NARROW = 0.90  # inside a margin when two one-sided tests at 5 % both reject (Schuirmann 1987)
REPEATS = 2000
IN_TAILS = 40  # draws beyond the ends of an interval, at least
DIGITS = 9  # of a mean: equal shares of images differ behind them, by the order of adding up
CHUNK = 250  # repeats at a time: weights of 10,000 images take 20 MB

Interval = tuple[float, float]
Statistics = Callable[[np.ndarray], Mapping[str, np.ndarray]]


def wilson(successes: float, total: float, level: float = LEVEL) -> Interval:
    """Wilson's score interval of `successes` of `total`, 0..1 (Wilson 1927, statsmodels); (0, 1) of nothing."""
    if total <= 0:
        return 0.0, 1.0
    low, high = proportion_confint(successes, total, alpha=1 - level, method="wilson")
    return float(low), float(high)


def proportion_interval(right: np.ndarray, groups: np.ndarray, level: float = LEVEL) -> Interval:
    """Interval of the share of `right`, bool [N], when images of one of `groups`, int [N], go right or wrong together.

    Wilson's interval at the effective number of images (Franco et al. 2019): N over the design effect, which is the
    variance between groups over that of independent images, and never below 1; corrected for few groups as by Korn and
    Graubard (1998). When all or none are right the variance says nothing, and every group counts as one image.
    With one image a group it is Wilson's interval.
    """
    total, share = len(right), float(np.mean(right)) if len(right) else 0.0
    _, group = np.unique(groups, return_inverse=True)
    sizes = np.bincount(group)
    if total == 0 or len(sizes) == total:
        return wilson(share * total, total, level)
    if share in (0.0, 1.0) or len(sizes) == 1:
        return wilson(share * len(sizes), len(sizes), level)
    residuals = np.bincount(group, weights=right.astype(float)) - share * sizes
    between = len(sizes) / (len(sizes) - 1) * float(residuals @ residuals) / total**2
    effect = max(1.0, between / (share * (1 - share) / total))
    few = student.ppf(0.5 + level / 2, total - 1) / student.ppf(0.5 + level / 2, len(sizes) - 1)
    effective = total / effect * few**2
    return wilson(share * effective, effective, level)


def resample(groups: np.ndarray, repeats: int = REPEATS, seed: int = 0) -> Iterator[np.ndarray]:
    """How often each image is drawn when whole groups are drawn with replacement: chunks of counts [repeats, N]."""
    _, group = np.unique(groups, return_inverse=True)
    count = int(group.max()) + 1
    rng = np.random.default_rng(seed)
    for start in range(0, repeats, CHUNK):
        yield rng.multinomial(count, np.full(count, 1 / count), size=min(CHUNK, repeats - start))[:, group]


def draw_seeds(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Means [B] of values [S, B], for each of the B samples over S seeds drawn with replacement."""
    count = len(values)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=values.shape[1]).T / count
    mean: np.ndarray = (values * weights).sum(0)
    return mean


def centre(draws: np.ndarray, value: float) -> np.ndarray:
    """Draws of a share, 0..1, less the bias that drawing adds (Efron and Tibshirani 1993, chapter 10)."""
    shifted: np.ndarray = np.clip(draws - draws.mean() + value, 0.0, 1.0)
    return shifted


def bootstrap(
    statistics: Statistics,
    groups: np.ndarray,
    *,
    level: float = LEVEL,
    repeats: int | None = None,
    seed: int = 0,
    biased: Collection[str] = (),
) -> dict[str, Interval]:
    """Percentile intervals of all `statistics` by the bootstrap over groups (Field and Welsh 2007).

    `statistics` maps counts [repeats, N] to arrays [repeats] by name. A statistic that does not vary at all, such as an
    AUROC of 1, has no bootstrap interval: NaN. Those that are `biased` are centred first.
    """
    enough = max(REPEATS, math.ceil(IN_TAILS / (1 - level))) if repeats is None else repeats
    chunks = [statistics(counts) for counts in resample(groups, enough, seed)]
    once = statistics(np.ones((1, len(groups)))) if biased else {}
    ends = {}
    for name in chunks[0]:
        values = np.concatenate([chunk[name] for chunk in chunks])
        values = values[~np.isnan(values)]
        if name in biased:
            values = centre(values, float(once[name][0]))
        low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2]) if len(values) else (np.nan, np.nan)
        ends[name] = (float(low), float(high)) if low < high else (float("nan"), float("nan"))
    return ends
