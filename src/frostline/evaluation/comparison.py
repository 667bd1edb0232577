"""Runs side by side on the same images: tests that swap groups, paired intervals, corrected for the number of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import permutation_test
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from frostline.evaluation.catalog import labels
from frostline.evaluation.intervals import LEVEL, NONE, effective_groups, effective_number, number_groups, real_interval
from frostline.evaluation.jackknife import Jackknife
from frostline.evaluation.weighted_metrics import WeightedMetrics
from frostline.task import Task

SIGNIFICANT = 1 - LEVEL
SWAPS = 20_000  # of groups; with fewer ways to swap all are tried, which is exact


@dataclass(frozen=True)
class Difference:
    """First minus second, and the interval of that."""

    value: float
    lower: float
    upper: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side."""
        return self.lower > 0 or self.upper < 0


@dataclass(frozen=True)
class Pair:
    """Two runs, by their place, on the same images."""

    first: int
    second: int
    only_first: tuple[int, ...]
    """Images that only the first gets right."""
    only_second: tuple[int, ...]
    groups: int
    """Groups that these images are of."""
    mcnemar: float
    """p of McNemar's exact test of the two counts (McNemar 1947), after Holm; it takes images as independent."""
    p: float
    """p of the permutation test that swaps the two runs in whole groups; it takes groups as independent."""
    p_corrected: float
    """That after Holm (1979), over all pairs."""
    differences: Mapping[str, Difference]
    """Of the metrics that the catalogue compares, paired, by the jackknife over groups and Student's t.

    At 95 % for all pairs together (Bonferroni).
    """

    @property
    def shown(self) -> bool:
        """Whether a difference in accuracy is shown: by the test over groups, and by the interval."""
        return self.p_corrected < SIGNIFICANT and self.differences["acc"].excludes_zero


def compare(probabilities: Sequence[np.ndarray], targets: np.ndarray, groups: np.ndarray, task: Task) -> list[Pair]:
    """Compare every two of the runs: `probabilities` [N, C] each, of the same images of classes `targets` [N]."""
    pairs = list(combinations(range(len(probabilities)), 2))
    compared = labels(task, "difference")
    jackknife = Jackknife([WeightedMetrics(p, targets, task, compared) for p in probabilities], groups)
    right = [p.argmax(1) == targets for p in probabilities]
    most = effective_groups(groups) - 1

    def differ(a: int, b: int, name: str) -> Difference:
        value = float(jackknife.values[name][a] - jackknife.values[name][b])
        moved = (jackknife.deviations(name)[a] - jackknife.deviations(name)[b]) ** 2
        degrees = min(effective_number(moved) - 1, most)
        low, high = real_interval(value, float(moved.sum()), degrees, 1 - (1 - LEVEL) / len(pairs))
        return Difference(value, max(low, -1.0), min(high, 1.0)) if low == low else Difference(value, *NONE)

    only = [(_places(right[a] & ~right[b]), _places(right[b] & ~right[a])) for a, b in pairs]
    by_image = [float(mcnemar([[0, len(x)], [len(y), 0]], exact=True).pvalue) for x, y in only]
    by_image = _holm(by_image)
    p = [_swap_groups(right[a], right[b], groups) for a, b in pairs]
    corrected = _holm(p)
    compared_pairs = []
    for i, ((a, b), (x, y)) in enumerate(zip(pairs, only, strict=True)):
        differences = {name: differ(a, b, name) for name in compared}
        touched = len(np.unique(groups[[*x, *y]])) if x or y else 0
        compared_pairs.append(Pair(a, b, x, y, touched, by_image[i], p[i], corrected[i], differences))
    return compared_pairs


def _holm(p: Sequence[float]) -> list[float]:
    """Holm's correction (1979); of one alone there is none, and multipletests collects garbage for a second."""
    corrected: list[float] = multipletests(p, method="holm")[1].tolist() if len(p) > 1 else [*p]
    return corrected


def _swap_groups(first: np.ndarray, second: np.ndarray, groups: np.ndarray) -> float:
    """Two-sided p of the difference in right images when the runs may be swapped in every group (Fisher 1935)."""
    ahead = np.bincount(number_groups(groups), weights=first.astype(float) - second)
    ahead = ahead[ahead != 0]
    if len(ahead) < 2:
        return 1.0  # one group: swapped or not, both are as likely
    swapped = permutation_test((ahead,), np.sum, permutation_type="samples", n_resamples=SWAPS, rng=0, vectorized=True)
    return float(swapped.pvalue)


def _places(where: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(where).tolist())


def verdict(pair: Pair, names: Sequence[str], images: int) -> str:
    """What can be said of a pair, in a sentence."""
    a, b = names[pair.first], names[pair.second]
    x, y = len(pair.only_first), len(pair.only_second)
    if x + y == 0:
        return f"{a} and {b} agree: the same {images} images, the same ones right."
    d, p = pair.differences["acc"], pair.p_corrected
    interval = f"interval {100 * d.lower:+.1f} to {100 * d.upper:+.1f}" if d.lower == d.lower else "no interval"
    details = (
        f"{a} alone is right on {x} images, {b} alone on {y}, of {images}; they are of {pair.groups} groups: "
        f"{100 * d.value:+.1f} points of accuracy ({interval}; p = {p:.2g} when whole groups are swapped, "
        f"{pair.mcnemar:.2g} by McNemar's test, which takes images as independent)"
    )
    if pair.shown:
        return f"{a if d.value > 0 else b} is right more often: {details}."
    return f"no difference can be shown: {details}."
