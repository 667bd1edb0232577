"""All metrics of an evaluation, under the names used everywhere, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from frostline.evaluation.catalog import named_metrics
from frostline.evaluation.intervals import Interval, bootstrap, proportion_interval, wilson
from frostline.evaluation.weighted_sums import WeightedImages
from frostline.task import Task


class WeightedMetrics:
    """Probabilities float [N, C] and classes int [N], ready to be weighted.

    Called with counts [B, N], how often each image stands in each of B samples, it gives every metric of the catalogue,
    or those that are `wanted` by key, as an array [B]; what a sample cannot give is NaN. With counts of one the values
    are those of torchmetrics: the tests hold that.
    """

    def __init__(
        self, probabilities: np.ndarray, targets: np.ndarray, task: Task, wanted: Collection[str] | None = None
    ) -> None:
        self._images = WeightedImages(probabilities, targets)
        self._metrics = [m for m in named_metrics(task) if wanted is None or m.key in wanted]
        self._once = np.ones((1, len(targets)))

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Metrics by key, each an array [B]."""
        sums = self._images.weigh(counts)
        return {m.key: m.metric.compute(sums, m.class_index) for m in self._metrics}

    def once(self) -> dict[str, float]:
        """Metrics by key with every image counted once."""
        return {key: float(values[0]) for key, values in self(self._once).items()}


def evaluate(
    stage: str, probabilities: np.ndarray, targets: np.ndarray, task: Task, groups: np.ndarray | None = None
) -> dict[str, float]:
    """All metrics of `probabilities` float [N, C] against `targets` int [N], flat, named `stage/...`.

    Each has its 95 % interval beside it, `stage/.../lower` and `.../upper`: `groups` [N] says which images go right or
    wrong together, none that they are independent. What the data cannot give, such as the AUROC of a class that does
    not occur, is NaN.
    """
    together = np.arange(len(targets)) if groups is None else groups
    weighted, units = WeightedMetrics(probabilities, targets, task), len(np.unique(together))
    values = weighted.once()
    bounds = bootstrap(weighted, together, biased=biased_metrics(task))
    bounds |= proportions(probabilities, targets, task, together)
    bounds |= {m.key: (math.nan, math.nan) for m in named_metrics(task) if not m.metric.interval}
    for name, (lower, upper) in bounds.items():
        if values[name] == 1.0 and lower != lower:  # nothing varies when all is right: every group counts as one image
            lower, upper = wilson(units, units)
        values[f"{name}/lower"], values[f"{name}/upper"] = lower, upper
    predicted = probabilities.argmax(1)
    for i, name in enumerate(task.classes):
        values[f"{name}/support"] = int((targets == i).sum())
        values[f"{name}/predicted"] = int((predicted == i).sum())
    values |= {"images": len(targets), "correct": int((predicted == targets).sum()), "groups": units}
    return {f"{stage}/{key}": value for key, value in values.items()}


def biased_metrics(task: Task) -> set[str]:
    """Keys of the metrics that resampling moves: their draws are centred."""
    return {m.key for m in named_metrics(task) if m.metric.biased}


def proportions(probabilities: np.ndarray, targets: np.ndarray, task: Task, groups: np.ndarray) -> dict[str, Interval]:
    """Intervals of the metrics that are shares of images, by Wilson's method: they hold at 0 and 1 as well."""
    predicted = probabilities.argmax(1)
    intervals = {}
    for key, _, metric, i in named_metrics(task):
        if metric.share is not None:
            right, counted = metric.share(predicted, targets, i)
            intervals[key] = proportion_interval(right[counted], groups[counted])
    return intervals


def confusion_matrix(predicted: np.ndarray, targets: np.ndarray, classes: int) -> np.ndarray:
    """Counts int [C, C]: rows the true class, columns the predicted one."""
    return np.bincount(targets * classes + predicted, minlength=classes**2).reshape(classes, classes)
