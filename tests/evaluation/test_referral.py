"""Referring the least sure: the limit comes from other images, the rest is counted by groups, ties go together."""

from __future__ import annotations

import numpy as np
import pytest

from frostline.evaluation.referral import refer, risk_curve


def two(sure: np.ndarray) -> np.ndarray:
    return np.stack([sure, 1 - sure], axis=1)


def test_the_limit_is_that_of_the_images_that_chose_it() -> None:
    chosen_on, here = two(np.linspace(0.5, 1, 11)), two(np.array([0.5, 0.54, 0.56, 0.9]))
    r = refer(chosen_on, here, np.array([False, True, True, True]), np.arange(4), 0.1)
    assert r.limit == pytest.approx(0.55)
    assert (r.referred, r.left, r.risk) == (0.5, 2, 0.0)


def test_referring_nothing_is_the_whole_error() -> None:
    rng = np.random.default_rng(0)
    p, right = rng.dirichlet([1, 1, 1], 60), rng.random(60) < 0.7
    r = refer(p, p, right, np.arange(60), 0.0)
    assert (r.referred, r.left) == (0, 60)
    assert r.risk == pytest.approx(1 - right.mean())
    assert r.interval[0] < r.risk < r.interval[1]


def test_groups_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    right = np.repeat(rng.random(30) < 0.7, 10)
    p = rng.dirichlet([1, 1, 1], 300)
    alone, together = (refer(p, p, right, g, 0.1).interval for g in (np.arange(300), np.repeat(np.arange(30), 10)))
    assert together[1] - together[0] > 1.5 * (alone[1] - alone[0])


def test_where_nothing_is_left_there_is_no_risk() -> None:
    r = refer(two(np.ones(5)), two(np.full(4, 0.6)), np.ones(4, bool), np.arange(4), 0.5)
    assert (r.referred, r.left) == (1, 0)
    assert np.isnan(r.risk)


def test_the_curve_ends_at_the_whole_error_and_ties_go_together() -> None:
    p = two(np.array([0.9, 0.6, 0.6, 0.8]))
    coverage, risk = risk_curve(p, np.array([True, False, True, True]))
    assert coverage.tolist() == [0.25, 0.5, 1.0]
    assert risk.tolist() == [0.0, 0.0, 0.25]
