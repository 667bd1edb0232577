"""Prediction sets hold the true class of new patients as often as they say, and say when they cannot know."""

from __future__ import annotations

import math

import numpy as np
import pytest

from frostline.evaluation.conformal import ClassScores, class_scores, groups_needed, limit, prediction_sets


def draw(
    rng: np.random.Generator, groups: int, images: int, spread: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, classes and groups of patients who differ in how hard they are; sizes differ tenfold."""
    of_class = rng.permutation(np.arange(groups) % 2)
    size = rng.integers(1, images + 1, groups)
    group = np.repeat(np.arange(groups), size)
    ease = rng.normal(1.0, spread, groups)[group] + rng.normal(0, 0.5, len(group))
    p = 1 / (1 + np.exp(-ease))
    targets = of_class[group]
    probabilities = np.where((np.arange(2) == targets[:, None]), p[:, None], 1 - p[:, None])
    return probabilities, targets, group


@pytest.mark.parametrize(("groups", "spread"), [(24, 0.0), (24, 1.5), (80, 1.5)])
def test_new_patients_are_covered_by_class(groups: int, spread: float) -> None:
    rng, coverage = np.random.default_rng(1), 0.8
    covered: list[list[float]] = [[], []]
    for _ in range(600):
        p, targets, group = draw(rng, groups, 10, spread)
        limits = [limit(s, coverage) for s in class_scores(p, targets, group)]
        new, true, new_group = draw(rng, 2, 10, spread)
        sets = prediction_sets(new, limits)
        for g in (0, 1):
            one = np.flatnonzero(new_group == g)[0]  # an image of a new patient
            covered[true[one]].append(float(sets[one, true[one]]))
    for of_class in covered:
        error = math.sqrt(coverage * (1 - coverage) / len(of_class))
        assert coverage - 3 * error <= np.mean(of_class) <= coverage + 1 / (groups // 2 + 1) + 3 * error


def test_a_class_of_too_few_groups_is_in_every_set() -> None:
    assert [groups_needed(c) for c in (0.5, 0.8, 0.9, 0.95)] == [1, 4, 9, 19]
    for groups in (3, 4):
        scores = ClassScores((0.1,) * groups, (1 / (groups + 1),) * groups)
        assert (limit(scores, 0.8) == math.inf) == (groups < 4)
    assert limit(ClassScores((), ()), 0.5) == math.inf
    sets = prediction_sets(np.array([[0.9, 0.1]]), [0.5, math.inf])
    assert sets.tolist() == [[True, True]]


def test_a_patient_of_many_images_counts_once() -> None:
    p = np.array([[0.9, 0.1]] * 97 + [[0.2, 0.8]] * 3)
    scores = class_scores(p, np.zeros(100, int), np.array([0] * 97 + [1, 2, 3]))[0]
    assert limit(scores, 0.5) == pytest.approx(0.8)  # three of four patients are hard, though 97 of 100 images are easy
