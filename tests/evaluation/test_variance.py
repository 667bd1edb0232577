"""The variance of a mean over seeds holds what groups and what seeds make of it."""

from __future__ import annotations

import numpy as np
import pytest

from frostline.evaluation.variance import seed_variance


def test_one_seed_has_the_variance_over_groups() -> None:
    assert seed_variance(np.array([0.9]), np.array([[0.04]]), 11.0) == (0.04, 11.0)


def test_equal_seeds_are_no_surer_than_one() -> None:
    assert seed_variance(np.full(3, 0.9), np.full((3, 3), 0.04), 11.0).total == pytest.approx(0.04)


def test_seeds_that_differ_add_their_spread_and_take_degrees() -> None:
    found = seed_variance(np.array([0.8, 0.9, 1.0]), np.full((3, 3), 0.001), 40.0)
    assert found.total == pytest.approx(0.01 / 3 + 0.001)
    assert 2 < found.degrees < 4  # little more than the two of three seeds


def test_the_variance_is_right_on_average() -> None:
    """20 groups of 10 images and 3 seeds, each part of known size; the mean of 3,000 draws."""
    rng = np.random.default_rng(0)
    seeds, groups, found, means = 3, 20, [], []
    for _ in range(3000):
        of_group = 0.3 * rng.standard_normal(groups)
        of_seed = 0.1 * rng.standard_normal(seeds)
        values = of_group + of_seed[:, None] + 0.2 * rng.standard_normal((seeds, groups))
        without = (values.sum(1, keepdims=True) - values) / (groups - 1)
        moved = without - without.mean(1, keepdims=True)
        found.append(seed_variance(values.mean(1), (groups - 1) / groups * moved @ moved.T, groups - 1).total)
        means.append(values.mean())
    assert np.mean(found) == pytest.approx(np.var(means), rel=0.15)
    assert np.mean(found) >= 0.97 * np.var(means)
