"""Runs side by side on the same images: exact tests and paired intervals, corrected for the number of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from frostline.evaluation.intervals import LEVEL, bootstrap
from frostline.evaluation.weighted import Evaluation

COMPARED = ("acc", "balanced_acc", "f1_macro", "auroc_macro", "malignant/recall")
SIGNIFICANT = 1 - LEVEL


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
    p: float
    """McNemar's exact test of the two counts (McNemar 1947; two-sided binomial); it takes images as independent."""
    p_corrected: float
    """After Holm (1979), over all pairs."""
    differences: Mapping[str, Difference]
    """Of `COMPARED`, by the paired bootstrap over groups, at 95 % for all pairs together (Bonferroni)."""

    @property
    def shown(self) -> bool:
        """Whether a difference in accuracy is shown: by the test, and by the interval, which knows of groups."""
        return self.p_corrected < SIGNIFICANT and self.differences["acc"].excludes_zero


def compare(
    probabilities: Sequence[np.ndarray], targets: np.ndarray, groups: np.ndarray, classes: Sequence[str]
) -> list[Pair]:
    """Compare every two of the runs: `probabilities` [N, C] each, of the same images of classes `targets` [N]."""
    pairs = list(combinations(range(len(probabilities)), 2))
    evaluations = [Evaluation(p, targets, classes) for p in probabilities]
    right = [p.argmax(1) == targets for p in probabilities]

    def differ(counts: np.ndarray) -> dict[str, np.ndarray]:
        figures = [evaluation(counts) for evaluation in evaluations]
        return {f"{a} {b} {name}": figures[a][name] - figures[b][name] for a, b in pairs for name in COMPARED}

    values = differ(np.ones((1, len(targets))))
    bounds = bootstrap(differ, groups, level=1 - (1 - LEVEL) / len(pairs))
    only = [(_places(right[a] & ~right[b]), _places(right[b] & ~right[a])) for a, b in pairs]
    p = [float(mcnemar([[0, len(x)], [len(y), 0]], exact=True).pvalue) for x, y in only]
    corrected = multipletests(p, method="holm")[1]
    found = []
    for (a, b), (x, y), before, after in zip(pairs, only, p, corrected, strict=True):
        keys = {name: f"{a} {b} {name}" for name in COMPARED}
        differences = {name: Difference(float(values[key][0]), *bounds[key]) for name, key in keys.items()}
        found.append(Pair(a, b, x, y, before, float(after), differences))
    return found


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
    figures = (
        f"{a} alone is right on {x} images, {b} alone on {y}, of {images}: {100 * d.value:+.1f} points of accuracy "
        f"({interval}; McNemar's exact test p = {p:.2g})"
    )
    if pair.shown:
        return f"{a if d.value > 0 else b} is right more often: {figures}."
    if p < SIGNIFICANT:
        return f"no difference can be shown: {figures}. The test takes images as independent, the interval does not."
    return f"no difference can be shown: {figures}."
