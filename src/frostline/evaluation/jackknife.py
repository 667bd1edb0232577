"""The jackknife over groups: what a metric loses when one patient, or what stands for one, is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from frostline.evaluation.intervals import number_groups
from frostline.evaluation.weighted_metrics import WeightedMetrics

MOST_BLOCKS = 500  # groups beyond that are put together at random: a delete-a-group jackknife (Kott 2001)
CHUNK = 250  # blocks at a time: weights of 10,000 images take 20 MB


def left_out(groups: np.ndarray) -> Iterator[np.ndarray]:
    """Weights [B, N] in chunks: each row counts all images but those of one group, or of one block of groups."""
    block = number_groups(groups)
    count = int(block.max()) + 1
    if count > MOST_BLOCKS:
        block = np.random.default_rng(0).permutation(count)[block] % MOST_BLOCKS
        count = MOST_BLOCKS
    for start in range(0, count, CHUNK):
        rows = np.arange(start, min(start + CHUNK, count))
        yield (block[None, :] != rows[:, None]).astype(float)


class Jackknife:
    """Metrics of R predictions of the same images, and how their errors go together over groups of images.

    `values` has each metric's [R]; `covariance` is Tukey's (1958) over groups. What leaving out a group makes
    impossible, such as the recall of a class of one group, is NaN there.
    """

    def __init__(self, predictions: Sequence[WeightedMetrics], groups: np.ndarray) -> None:
        once = [p.once() for p in predictions]
        self.values = {key: np.array([o[key] for o in once]) for key in once[0]}
        self.groups = len(np.unique(groups))
        if self.groups < 2:  # nothing is left without it
            self._without = {key: np.full((len(predictions), 1), np.nan) for key in once[0]}
            return
        chunks = [[p(counts) for p in predictions] for counts in left_out(groups)]
        self._without = {
            key: np.stack([np.concatenate([chunk[r][key] for chunk in chunks]) for r in range(len(predictions))])
            for key in once[0]
        }

    def deviations(self, key: str) -> np.ndarray:
        """The metric without each group less their mean, [R, G]; their products add up to the covariance."""
        without = self._without[key]
        count = without.shape[1]
        moved: np.ndarray = (without - without.mean(1, keepdims=True)) * np.sqrt((count - 1) / count)
        return moved

    def covariance(self, key: str, other: str | None = None) -> np.ndarray:
        """Covariance of the R values over groups, [R, R]; with `other` that of two metrics. NaN with one group."""
        first = self.deviations(key)
        second = first if other is None else self.deviations(other)
        if first.shape[1] < 2:
            return np.full((len(first), len(first)), np.nan)
        product: np.ndarray = first @ second.T
        return product

    def correlation(self, keys: Sequence[str]) -> np.ndarray:
        """Correlation over groups of several metrics, each the mean of the R values, [K, K]; 0 if one is constant."""
        moved = np.stack([self.deviations(key).mean(0) for key in keys])
        product = moved @ moved.T
        spread = np.sqrt(product.diagonal())
        scale = np.outer(spread, spread)
        correlation: np.ndarray = np.divide(product, scale, out=np.eye(len(keys)), where=scale > 0)
        return correlation
