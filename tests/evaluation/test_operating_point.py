"""Threshold and temperature: chosen on validation, and what they do elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.evaluation.calibration import choose_temperature, fit_temperature, scale
from frostline.evaluation.operating_point import choose_threshold, evaluate_tuned, tune
from frostline.task import LUNG


def sampled(images: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [N, 3] that are right for logits divided by `temperature`, and classes drawn by those."""
    rng = np.random.default_rng(seed)
    logits = 3 * rng.normal(size=(images, 3))
    said = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    true = scale(said, temperature)
    return said, (rng.random((images, 1)) > true.cumsum(1)).sum(1)


@given(
    scores=st.lists(st.floats(0, 1, width=16), min_size=1, max_size=30),
    wanted=st.floats(0.01, 1),
    seed=st.integers(0, 99),
)
def test_the_threshold_reaches_the_wanted_sensitivity_and_no_higher_one_does(
    scores: list[float], wanted: float, seed: int
) -> None:
    values = np.array(scores)
    positive = np.random.default_rng(seed).random(len(values)) < 0.6
    positive[0] = True
    threshold = choose_threshold(values, positive, wanted)
    found = values[positive]
    assert (found >= threshold).mean() >= wanted - 1e-9
    higher = found[found > threshold].min(initial=math.inf)
    if higher < math.inf:
        assert (found > higher).mean() < wanted


def test_the_threshold_keeps_away_from_single_scores() -> None:
    scores, positive = np.array([0.9, 0.8, 0.4, 0.1]), np.array([True, True, False, False])
    assert choose_threshold(scores, positive, 1.0) == pytest.approx(0.6)
    assert choose_threshold(scores, positive, 0.5) == pytest.approx(0.85)
    assert math.isnan(choose_threshold(scores, np.zeros(4, bool), 0.9))


def test_a_temperature_is_kept_where_it_helps_on_groups_that_did_not_choose_it() -> None:
    said, targets = sampled(600, 2.5)
    assert choose_temperature(said, targets, np.arange(600) // 3) == fit_temperature(said, targets) > 1.5


def test_a_temperature_that_helps_only_the_images_that_chose_it_is_not_used() -> None:
    """Six groups whose images all go one way: each fit is undone by the groups that are left out."""
    rng = np.random.default_rng(3)
    unused = 0
    for _ in range(20):
        group = np.repeat(np.arange(6), 10)
        right = rng.random(6) < 0.8
        targets = rng.integers(0, 3, 60)
        predicted = np.where(right[group], targets, (targets + 1) % 3)
        said = 0.1 + 0.7 * np.eye(3)[predicted]
        unused += choose_temperature(said, targets, group) == 1.0
    assert unused >= 8
    assert choose_temperature(said, targets, np.zeros(60)) == 1.0  # one group says nothing of others


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_made_the_data_is_found(temperature: float) -> None:
    assert fit_temperature(*sampled(4000, temperature)) == pytest.approx(temperature, rel=0.08)


def test_scaling_keeps_the_order_and_the_sum() -> None:
    said, _ = sampled(50, 1.0)
    scaled = scale(said, 2.0)
    assert scaled.sum(1) == pytest.approx(np.ones(50))
    assert (scaled.argsort(1) == said.argsort(1)).all()
    assert scale(said, 1.0) == pytest.approx(said)


def test_calibration_gets_better_on_images_that_it_was_not_fitted_on() -> None:
    said, targets = sampled(2000, 3.0, seed=1)
    tuned = tune(*sampled(2000, 3.0, seed=2), LUNG, 0.9)
    before = evaluate_tuned("test", said, targets, LUNG, np.arange(2000), tune(said, targets, LUNG, 0.9))
    found = evaluate_tuned("test", said, targets, LUNG, np.arange(2000), tuned)
    overconfident = said.max(1).mean() - (said.argmax(1) == targets).mean()
    assert overconfident > 0.1
    assert found["test/scaled/calibration_error"] < overconfident / 2
    assert found["test/scaled/loss"] == pytest.approx(before["test/scaled/loss"], abs=0.01)
    assert found["test/operating/sensitivity"] == pytest.approx(0.9, abs=0.04)
    assert found["test/operating/sensitivity/lower"] < 0.9 < found["test/operating/sensitivity/upper"]
    assert 0 < found["test/operating/specificity"] < 0.9
