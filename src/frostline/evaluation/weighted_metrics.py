"""The metrics of the catalogue for many weightings of the same images at once."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from frostline.evaluation.catalog import named_metrics
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
