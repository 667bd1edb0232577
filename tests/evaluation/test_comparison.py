"""What may be said of two runs: exact tests, paired intervals, and no difference where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from frostline.evaluation import comparison
from frostline.evaluation.comparison import Pair, compare, verdict
from frostline.task import LUNG


def predictions(right: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Probabilities [N, 3] that are right where `right` says."""
    return 0.1 + 0.7 * np.eye(3)[np.where(right, targets, (targets + 1) % 3)]


def two_runs(only_first: int, only_second: int, both: int, each: int = 1) -> list[np.ndarray]:
    """Whether each of two runs is right: `each` images a group."""
    first = np.repeat([True] * (both + only_first) + [False] * only_second, each)
    second = np.repeat([True] * both + [False] * only_first + [True] * only_second, each)
    return [first, second]


def compared(right: list[np.ndarray], each: int = 1) -> list[Pair]:
    targets = np.arange(len(right[0])) // each % 3
    return [*compare([predictions(r, targets) for r in right], targets, np.arange(len(targets)) // each, LUNG)]


def test_mcnemars_test_is_the_binomial_test_of_the_images_that_one_alone_gets_right() -> None:
    (pair,) = compared(two_runs(10, 2, 60))
    assert pair.mcnemar == pair.p == pytest.approx(2 * (1 + 12 + 66) / 2**12)  # one image a group: the same test
    assert (len(pair.only_first), len(pair.only_second)) == (10, 2)
    assert pair.only_first == tuple(range(60, 70))
    assert pair.differences["acc"].value == pytest.approx(8 / 72)


def test_a_clear_difference_is_said_with_its_direction() -> None:
    (pair,) = compared(two_runs(1, 14, 60))
    assert pair.shown
    assert verdict(pair, "AB", 75).startswith(
        "B is right more often: A alone is right on 1 images, B alone on 14, of 75; they are of 15 groups: -17.3"
    )


def test_a_handful_of_images_shows_nothing() -> None:
    (pair,) = compared(two_runs(4, 1, 70))
    assert not pair.shown
    assert verdict(pair, "AB", 75).startswith("no difference can be shown: A alone is right on 4 images")


def test_runs_that_agree_are_said_to_agree() -> None:
    (pair,) = compared(two_runs(0, 0, 30))
    assert (pair.p, pair.shown) == (1.0, False)
    assert verdict(pair, "AB", 30) == "A and B agree: the same 30 images, the same ones right."


def test_one_patient_with_many_slices_proves_nothing_by_itself() -> None:
    right = two_runs(1, 0, 11, each=12)  # one run fails on all 12 slices of one patient of 12
    (pair,) = compared(right, each=12)
    assert pair.mcnemar < 0.001  # if slices were independent
    assert (pair.groups, pair.p, pair.shown) == (1, 1.0, False)
    assert "they are of 1 groups" in verdict(pair, "AB", 144)


def test_a_handful_of_groups_cannot_show_a_difference() -> None:
    right = [np.ones(60, bool), np.ones(60, bool)]
    right[1][[0, 1, 2, 3, 5, 6, 7, 10, 15]] = False  # nine images in four groups of five
    (pair,) = compared(right, each=5)
    assert pair.mcnemar < 0.01
    assert (pair.groups, pair.p) == (4, 2 / 2**4)
    assert not pair.shown


def test_more_pairs_ask_for_more() -> None:
    right = two_runs(9, 1, 60)
    (alone,) = compared(right)
    of_three = compared([*right, right[0]])
    assert alone.p_corrected == alone.p < 0.05
    same = next(pair for pair in of_three if (pair.first, pair.second) == (0, 1))
    assert same.p_corrected == pytest.approx(3 * alone.p)
    wide, narrow = same.differences["acc"], alone.differences["acc"]
    assert wide.lower < narrow.lower
    assert wide.upper > narrow.upper


def test_intervals_of_paired_differences_hold_the_truth_where_groups_go_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comparison, "SWAPS", 9)  # the test by swaps is not what is asked here
    rng = np.random.default_rng(0)
    targets, groups, held = np.arange(120) // 3 % 3, np.arange(120) // 3, 0
    for _ in range(200):
        hard = 0.4 * np.repeat(rng.random(40), 3) + 0.3 * rng.random(120)
        right = [hard + 0.3 * rng.random(120) < level for level in (0.72, 0.72)]
        (pair,) = compare([predictions(r, targets) for r in right], targets, groups, LUNG)
        d = pair.differences["acc"]
        held += d.lower != d.lower or d.lower <= 0 <= d.upper
    assert held >= 184


@pytest.mark.slow
def test_where_there_is_no_difference_one_is_hardly_ever_shown() -> None:
    rng = np.random.default_rng(0)
    shown = sum(compared([rng.random(90) < 0.85, rng.random(90) < 0.85])[0].shown for _ in range(60))
    assert shown <= 5
