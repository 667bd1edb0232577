"""Metrics with intervals out of a confusion matrix alone, as a paper prints it."""

from __future__ import annotations

import numpy as np

from frostline.evaluation.catalog import named_metrics
from frostline.evaluation.seeds import Repeats, repeat
from frostline.evaluation.weighted_metrics import WeightedMetrics
from frostline.task import Task

TRIES = 20  # a ranking of few images may stay as it is by chance


def metrics_of_matrix(matrix: np.ndarray, task: Task) -> dict[str, Repeats]:
    """By key the metrics that `values_of_matrix` gives, with intervals for independent images."""
    certain, targets = _images(matrix, task)
    return repeat([certain], targets, np.arange(len(targets)), task, [*values_of_matrix(matrix, task)])


def values_of_matrix(matrix: np.ndarray, task: Task) -> dict[str, float]:
    """By key the metrics of the catalogue that `matrix`, int [C, C], rows true, gives.

    Metrics that depend on the probabilities too, such as AUROC, are left out: they move when the probabilities do and
    the predicted classes do not. So are those that no prediction moves, such as the share of a class.
    """
    certain, targets = _images(matrix, task)
    once, rng = WeightedMetrics(certain, targets, task).once(), np.random.default_rng(0)
    others = [WeightedMetrics(_unsure(certain, rng), targets, task).once() for _ in range(TRIES)]
    unlike = [WeightedMetrics(rng.permuted(certain, axis=1), targets, task).once() for _ in range(TRIES)]
    certain_of = [m.key for m in named_metrics(task) if all(other[m.key] == once[m.key] for other in others)]
    return {key: once[key] for key in certain_of if any(other[key] != once[key] for other in unlike)}


def _unsure(certain: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random probabilities [N, C] with the same predicted classes."""
    ascending = np.sort(rng.dirichlet(np.ones(certain.shape[1]), len(certain)), axis=1)
    rank = (certain + 0.5 * rng.random(certain.shape)).argsort(1).argsort(1)
    unsure: np.ndarray = np.take_along_axis(ascending, rank, axis=1)
    return unsure


def _images(matrix: np.ndarray, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [N, C], certain of the predicted class, and true classes [N]."""
    targets, predicted = np.divmod(np.repeat(np.arange(matrix.size), matrix.ravel()), len(task))
    return np.eye(len(task))[predicted], targets
