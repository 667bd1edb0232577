"""All metrics, for many weightings of the same images at once: what the bootstrap needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BINS = 15
MALIGNANT = "malignant"
BIASED = ("calibration_error",)  # upwards on few images, and more so when they are drawn again


class WeightedMetrics:
    """Probabilities float [N, C] and classes int [N], ready to be weighted.

    Called with counts [B, N], how often each image stands in each of B samples, it gives every metric as an array [B];
    what a sample cannot give is NaN. With counts of one the figures are those of torchmetrics: the tests hold that.
    """

    def __init__(self, probabilities: np.ndarray, targets: np.ndarray, classes: Sequence[str]) -> None:
        self.classes = classes
        n, predicted, confidence = len(classes), probabilities.argmax(1), probabilities.max(1)
        self._cells = np.eye(n * n)[targets * n + predicted]
        self._loss = -np.log(np.clip(probabilities[np.arange(len(targets)), targets], 1e-12, None))
        bins = np.digitize(confidence, np.linspace(0, 1, BINS + 1, dtype=confidence.dtype)) - 1
        self._over = np.eye(BINS + 1)[bins] * (confidence - (predicted == targets))[:, None]
        self._ranks = [_Ranks(probabilities[:, i], targets == i) for i in range(n)]

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """All figures, each an array [B]."""
        n, counts = len(self.classes), counts.astype(float)
        total = counts.sum(1)
        matrix = (counts @ self._cells).reshape(-1, n, n)
        right, true, said = matrix.diagonal(axis1=1, axis2=2), matrix.sum(2), matrix.sum(1)
        precision, recall = _ratio(right, said, 0.0), _ratio(right, true, np.nan)
        f1 = _ratio(2 * right, true + said, 0.0)
        seen = true + said > 0
        found = {
            "acc": right.sum(1) / total,
            "balanced_acc": _mean(np.nan_to_num(recall), seen),
            "loss": counts @ self._loss / total,
            "calibration_error": np.abs(counts @ self._over).sum(1) / total,
        }
        for name, figure in (("precision", precision), ("recall", np.nan_to_num(recall)), ("f1", f1)):
            found[f"{name}_weighted"] = (figure * true).sum(1) / total
            found[f"{name}_macro"] = _mean(figure, seen)
        areas = [ranks.auroc(counts) for ranks in self._ranks]
        found["auroc_macro"] = np.mean(areas, axis=0)
        for i, name in enumerate(self.classes):
            figures = {"precision": precision[:, i], "recall": recall[:, i], "f1": f1[:, i], "auroc": areas[i]}
            found |= {f"{name}/{figure}": values for figure, values in figures.items()}
            if name == MALIGNANT:
                others, alarms = total - true[:, i], said[:, i] - right[:, i]
                found["malignant/sensitivity"] = recall[:, i]
                found["malignant/specificity"] = _ratio(others - alarms, others, np.nan)
        return found


class _Ranks:
    """Scores of one class against the rest, sorted once, equal ones together."""

    def __init__(self, scores: np.ndarray, positive: np.ndarray) -> None:
        self._order = np.argsort(scores, kind="stable")
        _, self._starts = np.unique(scores[self._order], return_index=True)
        self._positive = positive[self._order]

    def auroc(self, counts: np.ndarray) -> np.ndarray:
        """Share of pairs, a positive and another, that stand in the right order; half for equal ones."""
        sorted_counts = counts[:, self._order]
        positive = np.add.reduceat(sorted_counts * self._positive, self._starts, axis=1)
        other = np.add.reduceat(sorted_counts * ~self._positive, self._starts, axis=1)
        below = other.cumsum(1) - other / 2
        return _ratio((positive * below).sum(1), positive.sum(1) * other.sum(1), np.nan)


def _ratio(part: np.ndarray, whole: np.ndarray, otherwise: float) -> np.ndarray:
    ratio: np.ndarray = np.divide(part, whole, out=np.full(whole.shape, otherwise), where=whole > 0)
    return ratio


def _mean(figure: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Mean over the classes that occur, as true or as predicted ones."""
    mean: np.ndarray = (figure * seen).sum(1) / seen.sum(1)
    return mean
