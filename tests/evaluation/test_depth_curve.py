"""What a study over depths shows, on made runs whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from frostline.evaluation.depth_curve import Curve, freezing_curve
from frostline.evaluation.intervals import wilson
from frostline.task import LUNG

DEPTHS = (10, 40, 80, 120)
TARGETS = np.arange(120) % 3
GROUPS = np.arange(120) // 3


def made_study(rng: np.random.Generator, skill: dict[int, float], seeds: int = 3) -> Curve:
    """Runs that are right on an image with the probability `skill` of their depth; the same images are hard for all."""
    hard = rng.random(120)
    runs = {}
    for depth, level in skill.items():
        rights = [(0.7 * hard + 0.3 * rng.random(120)) < np.quantile(hard, level) for _ in range(seeds)]
        runs[depth] = [0.1 + 0.7 * np.eye(3)[np.where(r, TARGETS, (TARGETS + 1) % 3)] for r in rights]
    return freezing_curve(runs, TARGETS, GROUPS, LUNG)


def test_a_depth_that_is_much_worse_is_told_apart_and_equals_are_not() -> None:
    curve = made_study(np.random.default_rng(1), {10: 0.85, 40: 0.87, 80: 0.86, 120: 0.5})
    assert [d.freeze for d in curve.depths] == list(DEPTHS)
    assert [d.clearly_lower for d in curve.depths] == [False, False, False, True]
    assert {d.freeze for d in curve.not_excluded} == {10, 40, 80} - {curve.highest.freeze}
    for d in curve.depths:
        assert d.mean == pytest.approx(np.mean(d.values))
        assert d.lower < d.mean < d.upper
        assert d.deficit == pytest.approx(curve.highest.mean - d.mean)
    assert (curve.images, curve.groups) == (120, 40)


def test_the_highest_flatters_and_the_corrected_value_flatters_less() -> None:
    rng = np.random.default_rng(0)
    raw, corrected = [], []
    for _ in range(12):
        curve = made_study(rng, dict.fromkeys(range(0, 100, 10), 0.8), seeds=1)
        every = np.mean([d.mean for d in curve.depths])  # all depths are the same: their mean is the truth
        raw.append(curve.highest.mean - every)
        corrected.append(curve.corrected - every)
    assert np.mean(raw) > 0.02
    assert abs(np.mean(corrected)) < np.mean(raw) / 2


def test_of_equal_means_the_first_tried_is_the_highest_and_one_lucky_seed_does_not_compete() -> None:
    targets, groups = np.arange(135) % 3, np.arange(135)

    def right_on(count: int) -> np.ndarray:
        said = np.where(np.arange(135) < count, targets, (targets + 1) % 3)
        return 0.1 + 0.7 * np.eye(3)[said]

    equal = {20: (122, 120, 118), 10: (124, 125, 111), 30: (135,)}
    runs = {depth: [right_on(count) for count in counts] for depth, counts in equal.items()}
    assert freezing_curve(runs, targets, groups, LUNG).highest.freeze == 20


def test_one_depth_alone_is_the_highest_and_nothing_is_said_of_others() -> None:
    curve = made_study(np.random.default_rng(0), {80: 0.8})
    assert curve.highest.freeze == 80
    assert curve.not_excluded == []
    assert curve.highest.deficit == 0


def test_of_equal_depths_hardly_ever_one_is_told_apart() -> None:
    rng = np.random.default_rng(0)
    studies = [made_study(rng, dict.fromkeys(range(10), 0.9), seeds=2) for _ in range(40)]
    assert sum(any(d.clearly_lower for d in study.depths) for study in studies) <= 5  # 2 are to be expected


def test_perfect_depths_keep_an_interval() -> None:
    perfect = [0.1 + 0.7 * np.eye(3)[TARGETS]] * 2
    curve = freezing_curve({10: perfect, 20: perfect}, TARGETS, GROUPS, LUNG)
    assert (curve.highest.lower, curve.highest.upper) == wilson(40, 40)
    assert len(curve.not_excluded) == 1
