"""Comparisons with the best: none of the best is called worse, and bounds hold."""

from __future__ import annotations

import numpy as np
import pytest

from frostline.evaluation import best
from frostline.evaluation.best import Rivals, at_most_behind, behind_at_least


def rivals(means: list[float], error: float, seeds: int = 3, groups: float = 40.0) -> Rivals:
    """Configurations whose differences have the standard error `error`, half of its square from seeds."""
    count = len(means)
    return Rivals(
        means=np.array(means),
        of_groups=np.eye(count) * error**2 / 4,
        of_seeds=seeds * error**2 / 4,
        of_images=0.0,
        few=np.zeros((count, count)),
        groups=groups,
        seeds=seeds,
        degrees=count * (seeds - 1),
    )


def test_what_is_far_behind_is_shown_and_equals_are_not() -> None:
    behind, least = behind_at_least(rivals([0.9, 0.9, 0.7, 0.89], 0.02))
    assert behind.tolist() == [False, False, True, False]
    assert 0.1 < least[2] < 0.2
    assert least[[0, 1, 3]].tolist() == [0, 0, 0]


def test_once_the_worst_are_out_less_is_asked_of_the_rest() -> None:
    """0.83 is not shown beside ten others that it could be one of, and is once they are known to be worse."""
    means = [0.9, 0.9 - 3.1 * 0.02, *[0.5] * 10]
    _, least = behind_at_least(rivals(means, 0.02))
    behind, _ = behind_at_least(rivals(means, 0.02))
    assert least[1] == 0
    assert behind.tolist() == [False, *[True] * 11]


def test_bounds_name_those_that_may_be_best_and_how_far_behind_each_is_at_most() -> None:
    most = at_most_behind(rivals([0.9, 0.9, 0.6], 0.02), 0.02)
    assert most[0] == pytest.approx(most[1], rel=0.05)
    assert 0.03 < most[0] < 0.06  # about two standard errors
    assert 0.3 < most[2] < 0.4
    assert at_most_behind(rivals([0.9, 0.5], 0.01), 0.02)[0] == 0  # certain to be best


def test_identical_networks_are_no_worse_than_each_other_however_few_the_groups() -> None:
    moved = np.zeros((2, 3, 20))
    same = Rivals.of(np.full((2, 3), 0.9), moved, 12.0)
    assert not behind_at_least(same)[0].any()
    assert at_most_behind(same, 0.02)[0] > 0.1  # that twelve groups agree does not show that the next will


def test_a_difference_that_rests_on_one_group_is_not_taken_for_sure() -> None:
    moved = np.zeros((2, 3, 20))
    moved[0, :, 0] = 0.05  # one group alone tells them apart
    found = Rivals.of(np.array([[0.95] * 3, [0.9] * 3]), moved, 20.0)
    assert found.standard_errors[0, 1] > 0.05
    assert not behind_at_least(found)[0].any()


def test_none_of_equal_ones_is_called_worse_in_more_than_five_percent_and_bounds_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(best, "DRAWS", 1000)
    rng = np.random.default_rng(0)
    called = broken = 0
    for i in range(300):
        shared, own = rng.standard_normal(30), rng.standard_normal((6, 30))
        of_seeds = 0.1 * rng.standard_normal((6, 3))
        values = (shared + 0.5 * own)[:, None, :] + of_seeds[:, :, None] + 0.5 * rng.standard_normal((6, 3, 30))
        without = (values.sum(2, keepdims=True) - values) / 29
        moved = (without - without.mean(2, keepdims=True)) * np.sqrt(29 / 30)
        called += behind_at_least(Rivals.of(values.mean(2), moved, 30.0), i)[0].any()
        last_behind = values.mean(2) - np.array([0, 0, 0, 0, 0, 0.2])[:, None]
        broken += at_most_behind(Rivals.of(last_behind, moved, 30.0), 0.02, i)[5] < 0.2
    assert called <= 24  # 15 are to be expected at most
    assert broken <= 24


def test_networks_that_agree_on_nearly_everything_are_not_called_no_worse_too_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One is right on 98 %, the other on 96 %, the margin: they differ where the second fails alone, in few groups."""
    monkeypatch.setattr(best, "DRAWS", 1000)
    rng = np.random.default_rng(0)
    wrongly = 0
    for i in range(300):
        first = rng.random(150) < 0.98
        values = np.stack([first, first & (rng.random(150) >= 0.02 / 0.98)]).astype(float)[:, None, :]
        without = (values.sum(2, keepdims=True) - values) / 149
        moved = (without - without.mean(2, keepdims=True)) * np.sqrt(149 / 150)
        wrongly += at_most_behind(Rivals.of(values.mean(2), moved, 150.0), 0.02, i)[1] <= 0.02 - 1e-9
    assert wrongly <= 21
