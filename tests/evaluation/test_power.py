"""What a study is told to take is what it then takes."""

from __future__ import annotations

import numpy as np
import pytest

from frostline.evaluation.best import Rivals, at_most_behind
from frostline.evaluation.power import Assumptions, Planner

EASY = Assumptions(
    accuracy=0.9, images=5, correlation=0.3, agreement=0.5, seed_agreement=0.6, seed_spread=0.003, depths=3, seeds=3
)


def test_more_patients_more_seeds_and_a_wider_margin_show_more() -> None:
    planner = Planner(EASY.rivals(100), 0.03)
    assert planner.power(400, 3)[0] > planner.power(100, 3)[0] > planner.power(100, 2)[0]
    assert Planner(EASY.rivals(100), 0.05).power(100, 3)[0] > planner.power(100, 3)[0]
    assert planner.power(100, 3, 0.1)[1] > planner.power(100, 3, 0.05)[1]


def test_the_number_asked_for_gives_the_power() -> None:
    planner = Planner(EASY.rivals(100), 0.03)
    needed = planner.groups_needed(3)
    assert needed is not None
    assert planner.power(needed, 3)[0] == pytest.approx(0.8, abs=0.01)
    assert planner.power(0.9 * needed, 3)[0] < 0.8


def test_a_simulation_of_the_asked_for_study_has_that_power() -> None:
    """Normal scores of patients with the assumed variances, 400 studies."""
    planner = Planner(EASY.rivals(100), 0.03)
    patients = planner.groups_needed(3)
    assert patients is not None
    one = 0.09 * (1 + 4 * 0.3) / 5
    rng = np.random.default_rng(0)
    shown = 0.0
    for i in range(400):
        shared = np.sqrt(0.5 * one) * rng.standard_normal(patients)
        shared = shared + np.sqrt(0.1 * one) * rng.standard_normal((3, 1, patients))
        own = np.sqrt(0.4 * one) * rng.standard_normal((3, 3, patients))
        scores = 0.9 + shared + own + 0.003 * rng.standard_normal((3, 3, 1))
        without = (scores.sum(2, keepdims=True) - scores) / (patients - 1)
        moved = (without - without.mean(2, keepdims=True)) * np.sqrt((patients - 1) / patients)
        found = Rivals.of(scores.mean(2), moved, float(patients))
        shown += (at_most_behind(found, 0.03, i) <= 0.03).mean()
    assert 0.7 < shown / 400 < 0.92


def test_where_seeds_alone_are_too_wide_no_number_of_patients_is_enough() -> None:
    wild = Assumptions(
        accuracy=0.9, images=5, correlation=0.3, agreement=0.5, seed_agreement=0.6, seed_spread=0.05, depths=3, seeds=3
    )
    planner = Planner(wild.rivals(100), 0.02)
    assert planner.groups_needed(3) is None
    assert Planner(wild.rivals(10**6), 0.02).seeds_needed() is None  # nor fifty seeds
    assert (Planner(EASY.rivals(3000), 0.03).seeds_needed() or 99) <= 3


def test_what_is_the_margin_behind_is_never_settled_as_no_worse() -> None:
    planner = Planner(EASY.rivals(100), 0.03)
    assert planner.power(10**7, 50, 0.03)[0] < 0.1
    assert planner.groups_needed(50, 0.03) is not None  # but as worse it is
