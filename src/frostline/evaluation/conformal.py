"""Prediction sets that hold the true class as often as asked, for new patients, by class (split conformal prediction).

Lee, Barber and Willett 2023 (arXiv:2306.06342): groups (patients) are exchangeable, images of one are not independent.
Of every class each group counts the same, however many images it has, and a group that was not seen counts as one that
no score bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClassScores:
    """How little a network gave to one class on validation images of it: 1 less the class's probability, ascending.

    `weights` are those of the images: every group of the class weighs 1 / (groups + 1) in all.
    """

    scores: tuple[float, ...]
    weights: tuple[float, ...]


def class_scores(probabilities: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> list[ClassScores]:
    """The scores of every class by probabilities [N, C] and classes [N] of validation images in `groups` [N]."""
    found = []
    for i in range(probabilities.shape[1]):
        own = targets == i
        scores = 1 - probabilities[own, i]
        _, group, size = np.unique(groups[own], return_inverse=True, return_counts=True)
        weights = 1 / (size[group] * (len(size) + 1)) if own.any() else np.zeros(0)
        order = np.argsort(scores, kind="stable")
        found.append(ClassScores(tuple(scores[order].tolist()), tuple(weights[order].tolist())))
    return found


def limit(scores: ClassScores, coverage: float) -> float:
    """The largest score with which a class is in the set, so that it covers a share `coverage` of new images of it.

    Infinite where the groups of the class are too few to say: fewer than coverage / (1 - coverage). The class is then
    in every set.
    """
    reached = np.cumsum(scores.weights)
    enough = np.flatnonzero(reached >= coverage - 1e-12)
    return scores.scores[enough[0]] if len(enough) else math.inf


def prediction_sets(probabilities: np.ndarray, limits: list[float]) -> np.ndarray:
    """Which classes are in the set of each image, bool [N, C], by probabilities [N, C] and the `limit` of each."""
    return np.asarray(1 - probabilities <= np.array(limits))


def groups_needed(coverage: float) -> int:
    """Groups of a class from which its limit is finite."""
    return math.ceil(coverage / (1 - coverage) - 1e-9)
