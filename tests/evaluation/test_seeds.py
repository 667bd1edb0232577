"""Figures over seeds: intervals that do not shrink where nothing went wrong, and differences between them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from frostline.evaluation.intervals import wilson
from frostline.evaluation.metrics import evaluate
from frostline.evaluation.seeds import Repeats, repeat
from frostline.task import LUNG

TARGETS = np.arange(30) % 3
EVERY = ("acc", "f1_macro", "malignant/recall", "auroc_macro")


def right_but_for(*wrong: int) -> np.ndarray:
    said = np.where(np.isin(np.arange(30), wrong), (TARGETS + 1) % 3, TARGETS)
    return 0.1 + 0.7 * np.eye(3)[said]


def over_seeds(*runs: np.ndarray) -> dict[str, Repeats]:
    return repeat(runs, TARGETS, np.arange(30), LUNG, EVERY)


def test_one_seed_has_the_interval_that_the_run_itself_has() -> None:
    run = right_but_for(3, 4)
    found = over_seeds(run)
    expected = evaluate("test", run, TARGETS, LUNG)
    assert found["acc"].interval == wilson(28, 30)
    for key in EVERY:
        assert found[key].interval == (expected[f"test/{key}/lower"], expected[f"test/{key}/upper"]), key


def test_a_perfect_configuration_is_not_certain_and_an_error_does_not_make_it_surer() -> None:
    perfect = over_seeds(*[right_but_for()] * 3)
    for name in EVERY:
        assert perfect[name].mean == 1
        assert perfect[name].interval[0] < (0.75 if name == "malignant/recall" else 0.92), name
    nearly = over_seeds(right_but_for(), right_but_for(), right_but_for(3))["acc"]
    assert nearly.interval[0] < perfect["acc"].interval[0]
    assert nearly.interval[0] < nearly.mean < nearly.interval[1]


def test_the_same_run_twice_is_as_sure_as_once_and_no_surer() -> None:
    groups = np.arange(30) // 3  # ten groups: the correction for few must stay
    runs = [right_but_for(1, 4, 8, 9, 20)]
    once, twice = (repeat(runs * n, TARGETS, groups, LUNG, ["acc"])["acc"] for n in (1, 2))
    assert twice.interval == pytest.approx(once.interval, abs=1e-9)


def test_the_same_run_of_single_images_twice_is_as_sure_as_once() -> None:
    for wrong in ((), (1, 4, 8)):
        once, twice = (over_seeds(*[right_but_for(*wrong)] * n)["acc"].interval for n in (1, 2))
        assert twice == pytest.approx(once, abs=1e-9)


def test_the_narrow_interval_lies_within_the_other() -> None:
    for of in over_seeds(right_but_for(3, 4), right_but_for(5)).values():
        assert of.interval[0] < of.narrow[0] < of.mean < of.narrow[1] < of.interval[1]


def test_intervals_hold_the_mean_of_a_configuration_whose_seeds_differ() -> None:
    """40 groups of 3 images, 3 seeds that differ by 4 points: the truth is that of all seeds and all images."""
    rng = np.random.default_rng(0)
    targets, groups, held, of_groups = np.zeros(120, int), np.arange(120) // 3, 0, 0
    for _ in range(200):
        hard = np.repeat(rng.random(40), 3)
        levels = 0.8 + 0.04 * rng.standard_normal(3)
        rights = [0.5 * hard + 0.5 * rng.random(120) < level for level in _quantiles(levels)]
        runs = [0.1 + 0.7 * np.eye(3)[np.where(right, targets, 1)] for right in rights]
        low, high = repeat(runs, targets, groups, LUNG, ["acc"])["acc"].interval
        held += low <= 0.8 <= high
        low, high = repeat(runs[:1], targets, groups, LUNG, ["acc"])["acc"].interval
        of_groups += low <= 0.8 <= high
    assert held >= 184
    assert of_groups < held


def _quantiles(levels: np.ndarray) -> np.ndarray:
    """Where the mean of two uniform numbers lies with the probability `levels`."""
    quantiles: np.ndarray = np.where(levels < 0.5, np.sqrt(levels / 2), 1 - np.sqrt((1 - levels) / 2))
    return quantiles


def test_a_difference_to_a_perfect_configuration_has_the_uncertainty_of_both() -> None:
    value, (low, high) = over_seeds(right_but_for())["acc"].minus(over_seeds(right_but_for(1, 5, 7, 11))["acc"])
    assert value == pytest.approx(4 / 30)
    assert (low, high) == pytest.approx((-0.006, 0.297), abs=0.001)  # Newcombe's interval of 30/30 and 26/30
    _, ends = over_seeds(right_but_for())["acc"].minus(Repeats((0.5,), (math.nan, math.nan)))
    assert all(math.isnan(end) for end in ends)


def test_seeds_that_differ_widen_the_interval() -> None:
    alike = over_seeds(right_but_for(1, 2, 3), right_but_for(1, 2, 3))["acc"].interval
    unlike = over_seeds(right_but_for(), right_but_for(1, 2, 3, 4, 5, 6))["acc"].interval
    assert unlike[1] - unlike[0] > alike[1] - alike[0]
