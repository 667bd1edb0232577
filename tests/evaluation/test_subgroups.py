"""Subgroups: who is in which, whether a difference is shown, and that one is not made up."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import norm
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.oneway import anova_oneway

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


def estimates(means: Sequence[float] | np.ndarray, errors: Sequence[float] | np.ndarray) -> list[Repeats]:
    half = norm.ppf(0.975) * np.array(errors)
    return [Repeats((m,), (m - h, m + h)) for m, h in zip(means, half, strict=True)]


def test_two_subgroups_are_tested_by_their_difference_over_its_standard_error() -> None:
    values, z = estimates((0.9, 0.8), (0.04, 0.03)), 0.1 / math.hypot(0.04, 0.03)
    assert interaction("acc", values, [1e6, 1e6]).p == pytest.approx(2 * norm.sf(z), rel=1e-3)
    assert interaction("acc", values, [8, 8]).p > 2 * norm.sf(z)
    assert interaction("acc", [values[0]] * 2, [9, 9]).p == pytest.approx(1)
    no = Repeats((0.5,), (math.nan, math.nan))
    assert interaction("acc", [*values, no], [9, 9, 9]).tested == 2
    assert math.isnan(interaction("acc", [values[0], no], [9, 9]).p)


def test_more_subgroups_are_tested_as_by_the_libraries() -> None:
    means, errors = np.array([0.9, 0.8, 0.72, 0.85]), np.array([0.04, 0.03, 0.05, 0.02])
    expected = combine_effects(means, errors**2).test_homogeneity().pvalue
    assert interaction("acc", estimates(means, errors), [1e7] * 4).p == pytest.approx(expected, rel=1e-3)
    samples = [np.random.default_rng(i).normal(i / 2, 1 + i, 6 + i) for i in range(3)]
    sem = [np.std(x, ddof=1) / np.sqrt(len(x)) for x in samples]
    welch = anova_oneway(samples, use_var="unequal", welch_correction=True).pvalue
    found = interaction("acc", estimates([x.mean() for x in samples], sem), [len(x) for x in samples])
    assert found.p == pytest.approx(welch)


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
