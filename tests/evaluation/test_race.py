"""A race: what is far behind leaves early, what is as good rarely does, and all looks together err as one."""

from __future__ import annotations

import numpy as np
import pytest

from frostline.evaluation.best import Rivals
from frostline.evaluation.intervals import effective_groups
from frostline.evaluation.race import Fold, level_of, look_at, rivals_of_folds, rounds_of

TARGETS = np.repeat([0, 1, 2], 20)
GROUPS = np.arange(60) // 2


def fold(levels: list[float], seeds: int, number: int = 0, moved: float = 0.0) -> Fold:
    """Networks that are right that often; seeds differ by `moved` besides."""
    rng = np.random.default_rng(number)
    shift = moved * rng.standard_normal((len(levels), seeds, 1))
    limits = np.array(levels)[:, None, None] + shift
    correct = rng.random((len(levels), seeds, 60)) < limits
    return Fold(correct.astype(float), TARGETS, GROUPS + 1000 * number)


@pytest.mark.parametrize(("looks", "nominal"), [(1, 0.05), (2, 0.0294), (3, 0.0221), (5, 0.0158)])
def test_the_level_of_a_look_is_pococks(looks: int, nominal: float) -> None:
    assert 1 - level_of(looks) == pytest.approx(nominal, abs=0.0008)


def test_rounds_begin_with_what_seeds_do_and_end_with_all_seeds_on_all_folds() -> None:
    assert rounds_of(5, 3) == [[2, 1, 1], [2, 1, 1, 1], [2, 1, 1, 1, 1], [2] * 5, [3] * 5]
    assert rounds_of(2, 2) == [[2, 1], [2, 2]]
    assert rounds_of(1, 3) == [[2], [3]]


def test_one_fold_with_as_many_seeds_is_what_the_curve_is_judged_by() -> None:
    one = fold([0.9, 0.8, 0.7], 3)
    found = rivals_of_folds([one], balanced=False)
    hits = np.stack([np.bincount(GROUPS, weights=row) for row in one.correct.reshape(-1, 60)])
    without = (hits.sum(1, keepdims=True) - hits) / 58
    moved = (without - without.mean(1, keepdims=True)) * np.sqrt(29 / 30)
    usual = Rivals.of(one.correct.mean(2), moved.reshape(3, 3, -1), effective_groups(GROUPS))
    assert found.means == pytest.approx(usual.means)
    assert found.degrees == usual.degrees
    assert found.standard_errors == pytest.approx(usual.standard_errors, rel=0.03)


def test_balanced_accuracy_is_the_mean_over_classes_of_all_folds_together() -> None:
    folds = [fold([0.9, 0.6], 2, number) for number in range(3)]
    found = rivals_of_folds(folds, balanced=True)
    right = np.concatenate([f.correct.mean(1) for f in folds], axis=1)
    targets = np.concatenate([f.targets for f in folds])
    assert found.means == pytest.approx([np.mean([row[targets == c].mean() for c in range(3)]) for row in right])


def test_what_is_far_behind_leaves_and_equals_stay() -> None:
    folds = [fold([0.9, 0.9, 0.4], 2, 0), *(fold([0.9, 0.9, 0.4], 1, number) for number in (1, 2))]
    found = look_at(rivals_of_folds(folds, balanced=False), 0.02, level_of(5))
    assert found.worse.tolist() == [False, False, True]
    assert 0 < found.least[2] < 0.5
    assert not found.decided


def test_nothing_leaves_while_seeds_move_a_score_as_much() -> None:
    folds = [fold([0.8, 0.8, 0.6], 2, 0, moved=0.3), fold([0.8, 0.8, 0.6], 1, 1, moved=0.3)]
    assert not look_at(rivals_of_folds(folds, balanced=False), 0.02, level_of(5)).worse.any()


def test_a_race_is_decided_when_one_is_left() -> None:
    folds = [fold([0.95, 0.3], 2, number) for number in range(2)]
    assert look_at(rivals_of_folds(folds, balanced=False), 0.02, level_of(2)).decided


def test_what_is_behind_by_less_than_the_margin_stays_for_it_may_be_the_finding() -> None:
    rng = np.random.default_rng(0)
    groups = np.arange(3000)
    hard = rng.random(3000)
    correct = np.stack([[hard < level, hard < level + 0.0003] for level in (0.92, 0.905)]).astype(float)
    one = Fold(correct, np.zeros(3000, int), groups)
    found = look_at(rivals_of_folds([one], balanced=False), 0.05, level_of(2))
    assert found.worse.tolist() == [False, True]
    assert found.no_worse.all()
    assert not found.leaves.any()
    assert found.decided


def test_an_easy_first_fold_says_nothing_of_what_seeds_do_on_the_others() -> None:
    """Equal settings, all right on the first fold; on the others seeds move a score by 3 points."""
    left = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        easy = Fold(np.ones((8, 2, 300)), np.zeros(300, int), np.arange(300))
        folds = [easy]
        for number in (1, 2, 3, 4):
            levels = 0.85 + 0.03 * rng.standard_normal((8, 1, 1))
            correct = (rng.random((8, 1, 300)) < levels).astype(float)
            folds.append(Fold(correct, np.zeros(300, int), np.arange(300) + 1000 * number))
        left += look_at(rivals_of_folds(folds, balanced=False), 0.02, level_of(5)).worse.any()
    assert left <= 3
