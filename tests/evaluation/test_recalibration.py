"""Calibration of one class: as by statsmodels, for weighted samples, and NaN where nothing can be fitted."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from frostline.evaluation.recalibration import calibration_intercept, calibration_slope, log_odds
from frostline.evaluation.weighted_metrics import WeightedMetrics
from frostline.task import LUNG


def some(images: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 3, images)
    p = rng.dirichlet(np.ones(3), images) + 0.5 * np.eye(3)[targets]
    return (p / p.sum(1, keepdims=True)).astype(np.float32), targets


def test_slope_and_intercept_are_those_of_statsmodels_for_every_weighting() -> None:
    p, targets = some()
    weights = np.random.default_rng(1).integers(0, 3, (5, 120))
    found = WeightedMetrics(p, targets, LUNG)(weights)
    x, y, family = log_odds(p, 1), (targets == 1).astype(float), sm.families.Binomial()
    for b, w in enumerate(weights):
        both = sm.GLM(y, sm.add_constant(x), family=family, freq_weights=w).fit()
        shift = sm.GLM(y, np.ones((120, 1)), offset=x, family=family, freq_weights=w).fit()
        assert found["malignant/calibration_slope"][b] == pytest.approx(both.params[1], abs=1e-6)
        assert found["malignant/calibration_intercept"][b] == pytest.approx(shift.params[0], abs=1e-6)


def test_too_sure_is_a_slope_below_one_and_too_often_an_intercept_below_zero() -> None:
    rng = np.random.default_rng(0)
    x = 2 * rng.normal(size=20_000)
    once = np.ones((1, len(x)))
    sure = rng.random(len(x)) < 1 / (1 + np.exp(-0.5 * x))
    assert calibration_slope(x, sure, once)[0] == pytest.approx(0.5, abs=0.03)
    often = rng.random(len(x)) < 1 / (1 + np.exp(1 - x))
    assert calibration_intercept(x, often, once)[0] == pytest.approx(-1, abs=0.06)
    assert calibration_slope(x, often, once)[0] == pytest.approx(1, abs=0.06)


def test_classes_that_do_not_overlap_have_no_slope_and_a_class_that_is_absent_neither_figure() -> None:
    x, positive = np.array([-2.0, -1.0, 1.0, 2.0]), np.array([False, False, True, True])
    apart, mixed = np.ones(4), np.array([1.0, 1, 0, 0])
    assert np.isnan(calibration_slope(x, positive, np.stack([apart, mixed]))).all()
    assert calibration_intercept(x, positive, apart[None])[0] == pytest.approx(0, abs=1e-6)
    assert np.isnan(calibration_intercept(x, positive, mixed[None])).all()


def test_probabilities_that_float32_rounds_to_one_keep_finite_figures() -> None:
    p = np.array([[0, 1, 0], [1, 0, 0], [0.4, 0.6, 0], [0.5, 0.3, 0.2], [0, 1, 0]], np.float32)
    targets = np.array([1, 0, 0, 1, 0])
    found = WeightedMetrics(p, targets, LUNG).once()
    assert np.isfinite(log_odds(p, 1)).all()
    assert np.isfinite([found["malignant/calibration_slope"], found["malignant/calibration_intercept"]]).all()
