"""PPV and NPV at a prevalence: Bayes' theorem, intervals that hold the truth, and ends that can be had."""

from __future__ import annotations

import math

import numpy as np
import pytest

from frostline.evaluation.intervals import wilson
from frostline.evaluation.operating_point import at_threshold
from frostline.evaluation.predictive_values import predictive_values


def of(right: int, total: int) -> tuple[float, tuple[float, float]]:
    return right / total, wilson(right, total)


def test_values_are_those_of_bayes_theorem() -> None:
    (ppv, ends), (npv, _) = predictive_values(of(90, 100), of(80, 100), 0.1)
    assert ppv == pytest.approx(0.09 / (0.09 + 0.18))
    assert npv == pytest.approx(0.72 / (0.72 + 0.01))
    assert ends[0] < ppv < ends[1]


def test_at_the_prevalence_of_the_images_they_are_the_shares_of_the_images() -> None:
    positive = np.arange(200) < 60
    called = (np.arange(200) < 50) | (np.arange(200) > 190)
    plain = at_threshold(called, positive, np.arange(200))
    same = at_threshold(called, positive, np.arange(200), 0.3)
    assert plain["prevalence"] == 0.3
    assert plain["ppv"] == plain["precision"] == pytest.approx(same["ppv"])
    assert plain["npv"] == pytest.approx(same["npv"])
    assert at_threshold(called, positive, np.arange(200), 0.02)["ppv"] < 0.3


@pytest.mark.parametrize(
    ("found", "spared"), [((30, 30), (50, 50)), ((0, 30), (50, 50)), ((30, 30), (0, 50)), ((0, 30), (0, 50))]
)
def test_a_perfect_or_useless_threshold_has_ends_between_zero_and_one(
    found: tuple[int, int], spared: tuple[int, int]
) -> None:
    for value, (low, high) in predictive_values(of(*found), of(*spared), 0.2):
        if math.isnan(value):
            assert math.isnan(low)
        else:
            assert 0 <= low <= value <= high <= 1
            assert high - low > 0.01


def test_the_intervals_hold_the_truth() -> None:
    rng, held = np.random.default_rng(0), np.zeros(2)
    truth = 0.045 / (0.045 + 0.19), 0.76 / (0.76 + 0.005)
    for _ in range(500):
        values = predictive_values(of(rng.binomial(60, 0.9), 60), of(rng.binomial(80, 0.8), 80), 0.05)
        held += [low <= t <= high for (_, (low, high)), t in zip(values, truth, strict=True)]
    assert (held / 500 > 0.92).all(), held


def test_values_stand_where_an_interval_is_missing() -> None:
    nothing = (math.nan, math.nan)
    (ppv, ends), (npv, _) = predictive_values((0.9, nothing), (0.8, (0.7, 0.9)), 0.1)
    assert (ppv, npv) == pytest.approx((0.09 / (0.09 + 0.18), 0.72 / (0.72 + 0.01)))
    assert math.isnan(ends[0])
