"""Figures over seeds: intervals that do not shrink where nothing went wrong, and differences between them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from frostline.evaluation.intervals import wilson
from frostline.evaluation.metrics import proportions
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
    expected = proportions(run, TARGETS, LUNG, np.arange(30))
    assert found["acc"].interval == expected["acc"] == wilson(28, 30)
    assert found["malignant/recall"].interval == expected["malignant/recall"]


def test_a_perfect_configuration_is_not_certain_and_an_error_does_not_make_it_surer() -> None:
    perfect = over_seeds(*[right_but_for()] * 3)
    for name in EVERY:
        assert perfect[name].mean == 1
        assert perfect[name].interval == wilson(30, 30), name
    nearly = over_seeds(right_but_for(), right_but_for(), right_but_for(3))["acc"]
    width = nearly.interval[1] - nearly.interval[0]
    assert width > 0.9 * (perfect["acc"].interval[1] - perfect["acc"].interval[0])
    assert nearly.interval[0] < nearly.mean < nearly.interval[1]


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
