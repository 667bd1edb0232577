"""Intervals against their formula, against repeated images, and against data whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.evaluation.intervals import (
    NONE,
    bounded_interval,
    effective_number,
    mean_interval,
    proportion_interval,
    real_interval,
    subtract,
    wilson,
)


@pytest.mark.parametrize(("right", "total"), [(144, 153), (0, 7), (7, 7), (1, 2)])
def test_wilson_is_its_formula(right: int, total: int) -> None:
    z, p = 1.959963984540054, right / total
    centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    assert wilson(right, total) == pytest.approx((centre - half, centre + half), abs=1e-12)


def test_an_interval_without_trials_says_nothing() -> None:
    assert wilson(0, 0) == proportion_interval(np.array([], bool), np.array([])) == (0.0, 1.0)


def test_independent_images_have_wilsons_interval() -> None:
    right = np.arange(20) < 15
    assert proportion_interval(right, np.arange(20)) == wilson(15, 20)


def test_equal_groups_count_as_they_are_and_one_large_one_counts_for_all() -> None:
    assert effective_number(np.full(7, 3.0)) == pytest.approx(7)
    assert effective_number(np.array([1000.0, 1, 1, 1])) < 1.01
    assert effective_number(np.zeros(3)) == 0


def test_copies_of_images_make_no_interval_narrower() -> None:
    right = np.arange(20) < 15
    alone = proportion_interval(right, np.arange(20))
    copied = proportion_interval(np.repeat(right, 10), np.repeat(np.arange(20), 10))
    assert copied[0] <= alone[0]
    assert copied[1] >= alone[1]


@given(sizes=st.lists(st.integers(1, 19), min_size=6, max_size=40), wrong=st.integers(1, 19))
def test_the_first_group_that_errs_makes_no_interval_surer(sizes: list[int], wrong: int) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    right = np.ones(len(groups), bool)
    worse = right.copy()
    worse[: min(wrong, sizes[0])] = False
    assert proportion_interval(worse, groups)[0] <= proportion_interval(right, groups)[0] + 1e-12


def test_all_right_counts_every_group_as_one_image() -> None:
    low, high = proportion_interval(np.ones(200, bool), np.repeat(np.arange(20), 10))
    assert high == 1
    assert wilson(20, 20, 0.97)[0] < low < wilson(20, 20)[0]  # between the normal's quantile and Student's


def test_one_group_of_many_images_says_nothing() -> None:
    assert all(math.isnan(end) for end in proportion_interval(np.arange(9) < 5, np.zeros(9)))
    assert all(math.isnan(end) for end in bounded_interval(0.5, 0.01, groups=1.0, known=9.0))


def test_the_interval_holds_the_truth_where_patients_differ_and_wilsons_does_not() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    held = naive = 0
    for _ in range(400):
        right = rng.random(200) < np.repeat(rng.beta(1.6, 0.4, 40), 5)  # 0.8 on average, each patient its own
        low, high = proportion_interval(right, groups)
        held += low <= 0.8 <= high
        low, high = wilson(int(right.sum()), 200)
        naive += low <= 0.8 <= high
    assert 0.93 < held / 400 < 0.99
    assert naive / 400 < 0.85


def test_where_a_few_groups_err_their_correlation_is_not_taken_for_known() -> None:
    """Of 30 groups of 10 images a tenth fail whole: with few failures seen the variance is too small by itself."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(30), 10)
    held = sum(
        low <= 0.95 <= high
        for low, high in (proportion_interval(np.repeat(rng.random(30) < 0.95, 10), groups) for _ in range(400))
    )
    assert held / 400 > 0.91  # Wilson's own at thirty images; by the variance alone it is 0.8


def test_a_mean_of_independent_parts_is_surer_than_they_are_and_of_equal_ones_as_sure() -> None:
    parts, ends, weights = np.array([0.8, 0.8]), np.array([[0.6, 0.9]] * 2), np.array([0.5, 0.5])
    low, high = mean_interval(0.8, parts, ends, np.eye(2), weights)
    assert (low, high) == pytest.approx((0.8 - 0.2 / math.sqrt(2), 0.8 + 0.1 / math.sqrt(2)))
    assert mean_interval(0.8, parts, ends, np.ones((2, 2)), weights) == pytest.approx((0.6, 0.9))


def test_what_does_not_vary_has_no_interval_without_limits() -> None:
    assert all(math.isnan(end) for end in real_interval(0.3, 0.0, 5))
    assert real_interval(0.3, 0.01, 1e9) == pytest.approx((0.3 - 0.196, 0.3 + 0.196), abs=1e-4)


def test_a_difference_without_one_of_the_intervals_has_none() -> None:
    value, ends = subtract(0.9, (0.8, 0.95), 0.5, NONE)
    assert value == pytest.approx(0.4)
    assert all(math.isnan(end) for end in ends)
