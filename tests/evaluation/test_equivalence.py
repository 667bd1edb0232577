"""To be the same within a margin is shown, or it is not said; and the chance to show it is what simulation gives."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from frostline.evaluation.equivalence import Equivalence, compare_to_margin
from frostline.evaluation.intervals import NARROW, wilson
from frostline.evaluation.seeds import Repeats

NOTHING = (math.nan, math.nan)


@cache
def share(right: int, images: int) -> Repeats:
    return Repeats((right / images,), wilson(right, images), wilson(right, images, NARROW))


@pytest.mark.parametrize(
    ("narrow", "interval", "equivalent", "different"),
    [
        ((-0.01, 0.015), (-0.012, 0.018), True, False),
        ((-0.01, 0.021), (-0.012, 0.024), False, False),
        ((-0.018, -0.004), (-0.019, -0.002), True, True),  # a difference is shown, and that it is small
        ((-0.09, -0.03), (-0.1, -0.02), False, True),
        ((0.001, 0.09), (-0.001, 0.1), False, False),
        (NOTHING, NOTHING, False, False),
    ],
)
def test_same_and_different_are_two_questions(
    narrow: tuple[float, float], interval: tuple[float, float], equivalent: bool, different: bool
) -> None:
    found = Equivalence(sum(narrow) / 2, interval, narrow, 0.02)
    assert (found.shown_equivalent, found.shown_different) == (equivalent, different)
    assert found.known == (narrow is not NOTHING)


def test_equal_values_of_few_images_are_not_shown_to_be_the_same() -> None:
    few, many = (compare_to_margin(share(*counts), share(*counts), 0.02) for counts in ((17, 17), (9400, 10000)))
    assert (few.difference, few.shown_equivalent, few.power) == (0, False, 0)
    assert many.shown_equivalent
    assert many.power > 0.99


def test_the_difference_has_the_uncertainty_of_both() -> None:
    published, ours = share(144, 153), share(388, 400)
    found = compare_to_margin(ours, published, 0.02)
    assert found.difference == pytest.approx(388 / 400 - 144 / 153)
    assert found.interval == ours.minus(published)[1]
    assert found.interval[0] < found.narrow[0] < found.narrow[1] < found.interval[1]


def test_without_an_interval_there_is_no_chance_either() -> None:
    found = compare_to_margin(Repeats((0.8,), NOTHING), share(144, 153), 0.02)
    assert not found.known
    assert math.isnan(found.power)


@pytest.mark.parametrize(("images", "margin"), [(600, 0.02), (600, 0.03), (2000, 0.02), (2000, 0.01)])
def test_the_chance_to_show_equivalence_is_that_of_a_simulation(images: int, margin: float) -> None:
    """With both values truly 94 %; and it falls from nearly sure to hardly any over these sizes and margins."""
    rng = np.random.default_rng(0)
    pairs = rng.binomial(images, 0.94, (600, 2)).tolist()
    found = [compare_to_margin(share(a, images), share(b, images), margin) for a, b in pairs]
    shown = np.mean([f.shown_equivalent for f in found])
    assert np.mean([f.power for f in found]) == pytest.approx(shown, abs=0.06)


@pytest.mark.parametrize(("images", "margin"), [(150, 0.05), (600, 0.03), (2000, 0.02)])
def test_equivalence_is_shown_wrongly_in_at_most_one_of_twenty(images: int, margin: float) -> None:
    """One is worse by just the margin: with 600 repetitions 5 % are at most 40 of them, but for 1 in 50 tries."""
    rng = np.random.default_rng(1)
    published, ours = rng.binomial(images, 0.94, 600).tolist(), rng.binomial(images, 0.94 - margin, 600).tolist()
    shown = sum(
        compare_to_margin(share(a, images), share(b, images), margin).shown_equivalent
        for a, b in zip(ours, published, strict=True)
    )
    assert shown <= 40
