"""One configuration trained with several seeds: figures over all of them, and how far apart two configurations are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from frostline.evaluation.intervals import LEVEL, Interval, resample
from frostline.evaluation.metrics import proportions
from frostline.evaluation.weighted import Evaluation


@dataclass(frozen=True)
class Repeats:
    """A metric over seeds: the value of each, and draws of their mean with seeds and groups of images resampled."""

    values: tuple[float, ...]
    draws: np.ndarray
    edge: Interval
    """Interval where draws cannot tell, of a share that is 0 or 1 for all seeds: Wilson's, every group one image."""

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.values))

    @property
    def interval(self) -> Interval:
        """95 % interval of the mean, NaN when nothing varies and it is no share of images."""
        found = _interval(self.draws)
        return self.edge if found[0] != found[0] else found

    def minus(self, other: Repeats) -> tuple[float, Interval]:
        """Difference of the means and its 95 % interval, the two taken as measured on other images."""
        return self.mean - other.mean, _interval(self.draws - other.draws)


def repeat(
    runs: Sequence[np.ndarray],
    targets: np.ndarray,
    groups: np.ndarray,
    classes: Sequence[str],
    metrics: Sequence[str],
    seed: int = 0,
) -> dict[str, Repeats]:
    """`metrics` over `runs`, probabilities [N, C] of every seed on the same images of classes `targets` [N]."""
    evaluations = [Evaluation(p, targets, classes) for p in runs]
    once = [e(np.ones((1, len(targets)))) for e in evaluations]
    rng = np.random.default_rng(seed)
    draws: dict[str, list[np.ndarray]] = {name: [] for name in metrics}
    for counts in resample(groups, seed=seed):
        found = [e(counts) for e in evaluations]
        weights = rng.multinomial(len(runs), np.full(len(runs), 1 / len(runs)), size=len(counts)).T / len(runs)
        for name in metrics:
            draws[name].append((np.stack([f[name] for f in found]) * weights).sum(0))
    edges = proportions(runs[0], targets, classes, groups)
    unknown = float("nan"), float("nan")
    return {
        name: Repeats(tuple(float(f[name][0]) for f in once), np.concatenate(draws[name]), edges.get(name, unknown))
        for name in metrics
    }


def _interval(draws: np.ndarray) -> Interval:
    known = draws[~np.isnan(draws)]
    if not len(known) or np.ptp(known) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
