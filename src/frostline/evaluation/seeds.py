"""One configuration trained with several seeds: metrics over all of them, and how far apart two configurations are."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from frostline.evaluation.catalog import named_metrics
from frostline.evaluation.intervals import LEVEL, Interval, centre, draw_seeds, resample, wilson
from frostline.evaluation.metrics import WeightedMetrics, biased_metrics, proportions
from frostline.task import Task


@dataclass(frozen=True)
class Repeats:
    """A metric over seeds: the value of each, the mean, and its 95 % interval (NaN when nothing can be said)."""

    values: tuple[float, ...]
    interval: Interval

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.values))

    def minus(self, other: Repeats) -> tuple[float, Interval]:
        """Difference of the means and its 95 % interval, for other images: MOVER (Zou and Donner 2008)."""
        return subtract(self.mean, self.interval, other.mean, other.interval)


def subtract(first: float, of_first: Interval, second: float, of_second: Interval) -> tuple[float, Interval]:
    """Difference of two independent values, its 95 % interval out of theirs: MOVER (Zou and Donner 2008)."""
    below = math.hypot(first - of_first[0], of_second[1] - second)
    above = math.hypot(of_first[1] - first, second - of_second[0])
    return first - second, (first - second - below, first - second + above)


def repeat(
    runs: Sequence[np.ndarray], targets: np.ndarray, groups: np.ndarray, task: Task, metrics: Collection[str]
) -> dict[str, Repeats]:
    """`metrics` over `runs`, probabilities [N, C] of every seed on the same images of classes `targets` [N].

    Seeds and groups of images are drawn with replacement, together. Shares of images have Wilson's interval at the
    effective number of images that the draws show; with one seed that of `proportions`. What is perfect for all seeds
    counts every group as one image.
    """
    evaluations = [WeightedMetrics(p, targets, task, metrics) for p in runs]
    once = [e.once() for e in evaluations]
    rng = np.random.default_rng(0)
    draws: dict[str, list[np.ndarray]] = {name: [] for name in metrics}
    for counts in resample(groups):
        of_runs = [e(counts) for e in evaluations]
        for name in metrics:
            draws[name].append(draw_seeds(np.stack([f[name] for f in of_runs]), rng))
    shares = proportions(runs[0], targets, task, groups)
    units, biased = len(np.unique(groups)), biased_metrics(task)
    without = {m.key for m in named_metrics(task) if not m.metric.interval}
    repeated = {}
    for name in metrics:
        values = tuple(values_of_seed[name] for values_of_seed in once)
        if name in without:
            interval = math.nan, math.nan
        elif name in shares and len(runs) == 1:
            interval = shares[name]
        else:
            mean, drawn = float(np.mean(values)), np.concatenate(draws[name])
            interval = _interval(mean, centre(drawn, mean) if name in biased else drawn, units, name in shares)
        repeated[name] = Repeats(values, interval)
    return repeated


def _interval(mean: float, draws: np.ndarray, units: int, share: bool) -> Interval:
    known = draws[~np.isnan(draws)]
    if mean == 1.0 or (share and mean == 0.0):
        return wilson(mean * units, units)
    if not len(known) or np.ptp(known) == 0 or mean != mean:
        return math.nan, math.nan
    if share:
        effective = mean * (1 - mean) / float(known.var())
        return wilson(mean * effective, effective)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
