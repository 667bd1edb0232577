"""A threshold with confidence: the binomial bound, what groups are worth, and how often the sensitivity is kept."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm

from frostline.evaluation.operating_point import choose_threshold, tune
from frostline.evaluation.tolerance import demand, independent_images, intraclass_correlation, needed_number
from frostline.task import Task

TASK = Task(("benign", "malignant"), "malignant")


@pytest.mark.parametrize("images", [45, 69, 150, 400])
def test_the_misses_that_are_allowed_are_the_most_that_the_binomial_distribution_allows(images: int) -> None:
    asked = demand(0.95, 0.9, images)
    allowed = round((1 - asked.share) * images)
    assert binom.sf(allowed, images, 0.05) == pytest.approx(asked.kept)
    assert asked.kept >= 0.9
    assert binom.sf(allowed + 1, images, 0.05) < 0.9


def test_too_few_images_are_all_to_be_found_and_it_is_said_how_far_that_goes() -> None:
    assert demand(0.95, 0.9, 20).share == 1
    assert demand(0.95, 0.9, 20).kept == pytest.approx(1 - 0.95**20)
    assert demand(0.95, 0.9, 0).kept == 0
    assert needed_number(0.95, 0.9) == 45
    assert demand(0.95, 0.9, 44).kept < 0.9 <= demand(0.95, 0.9, 45).kept


def test_images_are_worth_one_a_group_at_most_and_less_where_few_groups_hold_most_of_them() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(200), 4)
    assert independent_images(rng.normal(size=800), groups) == 200
    assert independent_images(rng.normal(size=200)[groups], groups) == pytest.approx(200)
    uneven = np.repeat(np.arange(20), [100] + [1] * 19)
    assert independent_images(rng.normal(size=20)[uneven], uneven) < 3
    half = np.sqrt(0.5) * (rng.normal(size=200)[groups] + rng.normal(size=800))
    assert intraclass_correlation(half, groups) == pytest.approx(0.5, abs=0.1)
    assert independent_images(half, np.arange(800)) == 800


def test_a_threshold_with_confidence_keeps_the_sensitivity_and_one_without_does_not() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), 3)
    kept = {None: 0, 0.9: 0}
    for _ in range(300):
        x = 2 + np.sqrt(0.3) * rng.normal(size=100)[groups] + np.sqrt(0.7) * rng.normal(size=300)
        p = norm.cdf(x)
        for confidence in kept:
            chosen = tune(np.stack([1 - p, p], 1), np.ones(300, int), TASK, 0.95, groups, confidence)
            kept[confidence] += norm.cdf(2 - norm.ppf(chosen.threshold)) >= 0.95
    assert kept[0.9] / 300 >= 0.9
    assert kept[None] / 300 < 0.6


def test_without_confidence_the_threshold_is_what_it_was() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, 80)
    p = rng.random(80)
    chosen = tune(np.stack([1 - p, p], 1), targets, TASK, 0.95, np.arange(80) // 2)
    assert chosen.threshold == choose_threshold(p, targets == 1, 0.95)
    assert chosen.confidence is None
