"""What all metrics are made of, for many weightings of the same images at once: groups left out, groups drawn."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from frostline.evaluation.recalibration import calibration_intercept, calibration_slope, log_odds

BINS = 15  # of confidence, for the calibration error


class WeightedImages:
    """Probabilities float [N, C] and classes int [N], ready to be weighted."""

    def __init__(self, probabilities: np.ndarray, targets: np.ndarray) -> None:
        self.classes = n = probabilities.shape[1]
        predicted, confidence = probabilities.argmax(1), probabilities.max(1)
        self._cells = np.eye(n * n)[targets * n + predicted]
        self._loss = -np.log(np.clip(probabilities[np.arange(len(targets)), targets], 1e-12, None))
        bins = np.digitize(confidence, np.linspace(0, 1, BINS + 1, dtype=confidence.dtype)) - 1
        self._over = np.eye(BINS + 1)[bins] * (confidence - (predicted == targets))[:, None]
        self._squared = ((probabilities - np.eye(n)[targets]) ** 2).sum(1)
        self._log_odds = [log_odds(probabilities, i) for i in range(n)]
        self._targets = targets
        self._ranks = [_Ranks(probabilities[:, i], targets == i) for i in range(n)]

    def weigh(self, counts: np.ndarray) -> WeightedSums:
        """The sums of B samples; `counts` [B, N] say how often each image stands in each."""
        return WeightedSums(self, counts.astype(float))


class WeightedSums:
    """Sums over B weighted samples, each computed when a metric first asks for it."""

    def __init__(self, images: WeightedImages, counts: np.ndarray) -> None:
        self._images, self._counts = images, counts
        self.total = counts.sum(1)
        """Number of images, [B]."""

    @cached_property
    def matrix(self) -> np.ndarray:
        """Confusion matrices [B, C, C], rows the true class."""
        n = self._images.classes
        matrices: np.ndarray = (self._counts @ self._images._cells).reshape(-1, n, n)
        return matrices

    @cached_property
    def right(self) -> np.ndarray:
        """Images of each class that are predicted so, [B, C]."""
        right: np.ndarray = self.matrix.diagonal(axis1=1, axis2=2)
        return right

    @cached_property
    def true(self) -> np.ndarray:
        """Images of each class, [B, C]."""
        true: np.ndarray = self.matrix.sum(2)
        return true

    @cached_property
    def predicted(self) -> np.ndarray:
        """Images predicted as each class, [B, C]."""
        predicted: np.ndarray = self.matrix.sum(1)
        return predicted

    @cached_property
    def seen(self) -> np.ndarray:
        """Whether a class occurs, as a true or as a predicted one, bool [B, C]."""
        seen: np.ndarray = self.true + self.predicted > 0
        return seen

    @cached_property
    def precision(self) -> np.ndarray:
        """[B, C]; 0 for a class that is never predicted."""
        return ratio(self.right, self.predicted, 0.0)

    @cached_property
    def recall(self) -> np.ndarray:
        """[B, C]; NaN for a class without images."""
        return ratio(self.right, self.true, np.nan)

    @cached_property
    def f1(self) -> np.ndarray:
        """[B, C]; 0 for a class that does not occur."""
        return ratio(2 * self.right, self.true + self.predicted, 0.0)

    @cached_property
    def auroc(self) -> np.ndarray:
        """Area under the ROC curve of each class against the rest, [B, C]; NaN where one of the two is empty."""
        return np.stack([ranks.auroc(self._counts) for ranks in self._images._ranks], axis=1)

    @cached_property
    def loss(self) -> np.ndarray:
        """Sum of the negative log probabilities of the true classes, [B]."""
        loss: np.ndarray = self._counts @ self._images._loss
        return loss

    @cached_property
    def miscalibration(self) -> np.ndarray:
        """Confidence less right predictions, absolute, by bin of confidence (Guo et al. 2017), summed up, [B]."""
        missed: np.ndarray = np.abs(self._counts @ self._images._over).sum(1)
        return missed

    @cached_property
    def overconfidence(self) -> np.ndarray:
        """Confidence less right predictions, with its sign, summed up, [B]."""
        over: np.ndarray = (self._counts @ self._images._over).sum(1)
        return over

    @cached_property
    def squared(self) -> np.ndarray:
        """Squared differences of probabilities and classes, over all classes (Brier 1950), summed up, [B]."""
        squared: np.ndarray = self._counts @ self._images._squared
        return squared

    def average_precision(self, i: int) -> np.ndarray:
        """Precision at the score of each image of class `i`, their mean, [B]; NaN without an image of it."""
        return self._images._ranks[i].average_precision(self._counts)

    def calibration_slope(self, i: int) -> np.ndarray:
        """Of class `i` against the rest, [B]."""
        return calibration_slope(self._images._log_odds[i], self._images._targets == i, self._counts)

    def calibration_intercept(self, i: int) -> np.ndarray:
        """Of class `i` against the rest, [B]."""
        return calibration_intercept(self._images._log_odds[i], self._images._targets == i, self._counts)

    def by_support(self, values: np.ndarray) -> np.ndarray:
        """Mean [B] of values [B, C] over the classes, each weighted by its images."""
        mean: np.ndarray = (values * self.true).sum(1) / self.total
        return mean


class _Ranks:
    """Scores of one class against the rest, sorted once, equal ones together."""

    def __init__(self, scores: np.ndarray, positive: np.ndarray) -> None:
        self._order = np.argsort(scores, kind="stable")
        _, self._starts = np.unique(scores[self._order], return_index=True)
        self._positive = positive[self._order]

    def auroc(self, counts: np.ndarray) -> np.ndarray:
        """Share of pairs, a positive and another, that stand in the right order; half for equal ones."""
        positive, other = self._by_score(counts)
        below = other.cumsum(1) - other / 2
        return ratio((positive * below).sum(1), positive.sum(1) * other.sum(1), np.nan)

    def average_precision(self, counts: np.ndarray) -> np.ndarray:
        """Precision at each score, weighted by the positives that have it."""
        positive, other = self._by_score(counts)
        found, alarms = (np.flip(np.flip(x, 1).cumsum(1), 1) for x in (positive, other))
        precision = ratio(found, found + alarms, 0.0)
        return ratio((positive * precision).sum(1), positive.sum(1), np.nan)

    def _by_score(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positives and others of each score, the lowest first, both [B, K]."""
        sorted_counts = counts[:, self._order]
        positive = np.add.reduceat(sorted_counts * self._positive, self._starts, axis=1)
        other = np.add.reduceat(sorted_counts * ~self._positive, self._starts, axis=1)
        return positive, other


def ratio(part: np.ndarray, whole: np.ndarray, otherwise: float) -> np.ndarray:
    """`part / whole`, and `otherwise` where that would divide by nothing."""
    divided: np.ndarray = np.divide(part, whole, out=np.full(whole.shape, otherwise), where=whole > 0)
    return divided


def mean_of_seen(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Mean [B] of values [B, C] over the classes that occur."""
    mean: np.ndarray = (values * seen).sum(1) / seen.sum(1)
    return mean
