"""Subgroups: who is in which, whether a difference is shown, and that one is not made up."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm
from statsmodels.stats.meta_analysis import combine_effects

from frostline.evaluation.seeds import Repeats
from frostline.evaluation.subgroups import cut, interaction, subgroups
from frostline.task import LUNG


def test_texts_are_subgroups_by_name_and_images_without_a_value_are_in_none() -> None:
    levels, names = cut(["GE", "Siemens", "", "GE"])
    assert (levels.tolist(), names) == ([0, 1, -1, 0], ["GE", "Siemens"])


def test_few_numbers_stay_in_their_order_and_many_are_cut_in_thirds() -> None:
    assert cut(["10", "2", "2"])[1] == ["2", "10"]
    levels, names = cut([str(age) for age in range(40, 70)] + [""])
    assert names == ["up to 50", "above 50, up to 60", "above 60"]
    assert np.bincount(levels + 1).tolist() == [1, 11, 10, 9]
    assert cut(["1", "nan", "2"])[1] == ["1", "2", "nan"]


def test_two_subgroups_are_tested_by_their_difference_over_its_standard_error() -> None:
    se = 0.04, 0.03
    values = [Repeats((m,), (m - 1.959964 * s, m + 1.959964 * s)) for m, s in zip((0.9, 0.8), se, strict=True)]
    z = 0.1 / math.hypot(*se)
    assert interaction("acc", values).p == pytest.approx(2 * norm.sf(z), abs=1e-6)
    assert interaction("acc", [values[0]] * 2).p == pytest.approx(1)
    no = Repeats((0.5,), (math.nan, math.nan))
    assert interaction("acc", [*values, no]).tested == 2
    assert math.isnan(interaction("acc", [values[0], no]).p)


def test_more_subgroups_are_tested_by_the_heterogeneity_that_statsmodels_finds() -> None:
    means, errors = np.array([0.9, 0.8, 0.72, 0.85]), np.array([0.04, 0.03, 0.05, 0.02])
    half = 1.959963985 * errors
    values = [Repeats((m,), (m - h, m + h)) for m, h in zip(means, half, strict=True)]
    expected = combine_effects(means, errors**2).test_homogeneity()
    assert interaction("acc", values).p == pytest.approx(expected.pvalue, rel=1e-6)


def predicted(right: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return 0.1 + 0.7 * np.eye(3)[np.where(right, targets, (targets + 1) % 3)]


def test_a_real_difference_is_shown_and_an_unrelated_column_is_not_said_to_matter() -> None:
    targets, groups = np.arange(240) % 3, np.arange(240) // 2
    scanner = np.where(groups % 2, "old", "new")
    right = (scanner == "new") | (np.arange(240) % 5 < 2)
    columns = {"scanner": scanner.tolist(), "sex": np.where(groups % 4 < 2, "f", "m").tolist()}
    by_scanner, by_sex = subgroups([predicted(right, targets)], targets, groups, LUNG, columns)
    assert [m.value for m in by_scanner.members] == ["new", "old"]
    assert sum(m.images for m in by_scanner.members) == 240
    assert by_scanner.members[0].groups == 60
    assert by_scanner.members[0].metrics["acc"].mean == 1
    assert by_scanner.interactions[0].shown
    assert not by_sex.interactions[0].shown
    tests = [test for of in (by_scanner, by_sex) for test in of.interactions]
    assert [t.key for t in tests] == ["acc", "malignant/sensitivity"] * 2
    assert all(t.corrected >= t.p for t in tests)
    assert min(t.corrected for t in tests) == pytest.approx(min(1, 4 * min(t.p for t in tests)))


def test_a_column_of_one_value_is_shown_and_not_tested() -> None:
    targets = np.arange(30) % 3
    (found,) = subgroups([predicted(targets > -1, targets)], targets, targets * 10, LUNG, {"scanner": ["GE"] * 30})
    assert len(found.members) == 1
    assert not found.interactions[0].shown
    assert math.isnan(found.interactions[0].corrected)
