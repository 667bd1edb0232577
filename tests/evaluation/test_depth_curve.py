"""What a study over depths shows, on made runs whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from frostline.evaluation.depth_curve import Curve, Saved, freezing_curve
from frostline.task import LUNG

DEPTHS = (10, 40, 80, 120)
TARGETS = np.arange(120) % 3
GROUPS = np.arange(120) // 3


SAVED = {depth: Saved(depth / 320, depth / 1000) for depth in DEPTHS}


def right(where: np.ndarray) -> np.ndarray:
    """Probabilities [N, 3] that are right where `where` says."""
    return 0.1 + 0.7 * np.eye(3)[np.where(where, TARGETS, (TARGETS + 1) % 3)]


def made_study(
    rng: np.random.Generator,
    skill: dict[int, float],
    seeds: int = 3,
    margin: float = 0.02,
    saved: dict[int, Saved] | None = None,
) -> Curve:
    """Runs that are right on an image with the probability `skill` of their depth; the same images are hard for all."""
    hard = rng.random(120)
    runs = {}
    for depth, level in skill.items():
        rights = [(0.7 * hard + 0.3 * rng.random(120)) < np.quantile(hard, level) for _ in range(seeds)]
        runs[depth] = [right(r) for r in rights]
    return freezing_curve(runs, TARGETS, GROUPS, LUNG, margin=margin, saved=saved)


def test_a_depth_that_is_much_worse_is_shown_and_equals_are_open() -> None:
    curve = made_study(np.random.default_rng(1), {10: 0.85, 40: 0.87, 80: 0.86, 120: 0.5})
    assert [d.freeze for d in curve.depths] == list(DEPTHS)
    assert [d.verdict for d in curve.depths] == ["open", "open", "open", "worse"]
    for d in curve.depths:
        assert d.mean == pytest.approx(np.mean(d.values))
        assert d.interval[0] < d.mean < d.interval[1]
        assert d.deficit == pytest.approx(curve.highest.mean - d.mean)
        assert d.behind[0] <= d.deficit <= d.behind[1]
    assert (curve.images, curve.groups) == (120, 40)


def test_with_a_margin_that_the_images_can_show_equals_are_no_worse_and_the_deepest_is_named() -> None:
    curve = made_study(np.random.default_rng(1), {10: 0.85, 40: 0.87, 80: 0.86, 120: 0.5}, margin=0.2, saved=SAVED)
    assert [d.verdict for d in curve.depths] == ["no worse", "no worse", "no worse", "worse"]
    assert curve.deepest is not None
    assert curve.deepest.freeze == 80
    words = " ".join(curve.in_words())
    assert "The deepest depth shown to be no worse than the best by more than 20 points is 80: 25.0 % of the" in words
    assert "shown worse: 120" in words
    assert "To settle" not in words


def test_what_is_open_is_told_with_what_would_settle_it() -> None:
    curve = made_study(np.random.default_rng(1), {10: 0.85, 40: 0.87, 80: 0.86, 120: 0.5})
    takes = curve.takes()
    assert {*takes} == {10, 40, 80}
    assert all(t.groups is None or t.groups > curve.groups for t in takes.values())
    words = " ".join(curve.in_words())
    assert "For no depth is it shown that it is no worse than the best by more than 2 points" in words
    assert "settle" in words


def test_with_one_seed_nothing_is_called_worse_or_no_worse() -> None:
    curve = made_study(np.random.default_rng(1), {10: 0.85, 120: 0.3}, seeds=1, margin=0.9)
    assert [d.verdict for d in curve.depths] == ["open", "open"]
    assert "With one seed a depth nothing is known" in " ".join(curve.in_words())
    assert curve.takes() == {}


def test_a_depth_with_fewer_seeds_neither_wins_nor_moves_the_corrected_value_nor_the_number_of_seeds() -> None:
    rng = np.random.default_rng(2)
    hard = rng.random(120)
    runs = {d: [right(0.7 * hard + 0.3 * rng.random(120) < 0.6) for _ in range(3)] for d in (10, 40)}
    lucky = {**runs, 80: [right(np.ones(120, bool))]}
    curve, without = (freezing_curve(r, TARGETS, GROUPS, LUNG) for r in (lucky, runs))
    assert curve.seeds == 3
    assert curve.highest.freeze == without.highest.freeze
    assert curve.corrected == pytest.approx(without.corrected)
    assert curve.corrected < 0.9
    assert curve.depths[2].verdict == "open"
    assert np.isnan(curve.depths[2].behind[1])


def test_the_highest_flatters_and_the_corrected_value_flatters_less() -> None:
    rng = np.random.default_rng(0)
    raw, corrected = [], []
    for _ in range(12):
        curve = made_study(rng, dict.fromkeys(range(0, 100, 10), 0.8), seeds=1)
        every = np.mean([d.mean for d in curve.depths])  # all depths are the same: their mean is the truth
        raw.append(curve.highest.mean - every)
        corrected.append(curve.corrected - every)
    assert np.mean(raw) > 0.02
    assert abs(np.mean(corrected)) < np.mean(raw) / 2


def test_of_equal_means_the_first_tried_is_the_highest_and_one_lucky_seed_does_not_compete() -> None:
    targets, groups = np.arange(135) % 3, np.arange(135)

    def right_on(count: int) -> np.ndarray:
        said = np.where(np.arange(135) < count, targets, (targets + 1) % 3)
        return 0.1 + 0.7 * np.eye(3)[said]

    equal = {20: (122, 120, 118), 10: (124, 125, 111), 30: (135,)}
    runs = {depth: [right_on(count) for count in counts] for depth, counts in equal.items()}
    assert freezing_curve(runs, targets, groups, LUNG).highest.freeze == 20


def test_one_depth_alone_is_the_highest_and_nothing_is_said_of_others() -> None:
    curve = made_study(np.random.default_rng(0), {80: 0.8})
    assert curve.highest.freeze == 80
    assert curve.highest.verdict == "open"
    assert curve.highest.deficit == 0


def test_of_equal_depths_hardly_ever_one_is_called_worse() -> None:
    rng = np.random.default_rng(0)
    studies = [made_study(rng, dict.fromkeys(range(5), 0.9), seeds=2) for _ in range(25)]
    assert sum(bool(study.of("worse")) for study in studies) <= 3  # one is to be expected


def test_perfect_depths_keep_an_interval() -> None:
    perfect = [right(np.ones(120, bool))] * 2
    curve = freezing_curve({10: perfect, 20: perfect}, TARGETS, GROUPS, LUNG)
    assert curve.highest.interval[0] < 0.95
    assert curve.highest.interval[1] == 1
    assert [d.verdict for d in curve.depths] == ["open", "open"]


def test_depths_that_all_answer_one_class_tie_at_chance_level_and_are_no_finding() -> None:
    same = [np.tile([0.8, 0.1, 0.1], (120, 1))] * 2
    curve = freezing_curve({10: same, 20: same}, TARGETS, GROUPS, LUNG)
    share = 100 * np.bincount(TARGETS).max() / 120
    first = curve.in_words()[0]
    assert first.startswith(f"all 2 depths tie at chance level: each scores {share:.1f} % on validation. No depth is")
    assert curve.takes() == {}


def test_a_depth_that_is_not_above_the_largest_class_is_told_so() -> None:
    rng = np.random.default_rng(1)
    runs = {d: [right(rng.random(120) < level) for _ in range(2)] for d, level in ((10, 0.35), (20, 0.3))}
    assert (
        "No depth is shown to be above chance: always answering"
        in freezing_curve(runs, TARGETS, GROUPS, LUNG).in_words()[0]
    )


def few_of_a_class(metric: str) -> Curve:
    """Two depths on 60 images of two classes, six of them benign and of two groups."""
    rng = np.random.default_rng(0)
    targets = np.array([0] * 6 + [1] * 54)
    groups = np.array([0] * 3 + [1] * 3 + [*range(2, 56)])
    runs = {}
    for depth in (10, 40):
        rights = [rng.random(60) < 0.9 for _ in range(3)]
        runs[depth] = [0.1 + 0.7 * np.eye(3)[np.where(r, targets, 2)] for r in rights]
    return freezing_curve(runs, targets, groups, LUNG, metric, margin=0.5)


def test_where_the_metric_has_no_interval_depths_are_open_and_the_reason_is_said() -> None:
    curve = few_of_a_class("balanced_acc")
    assert [d.verdict for d in curve.depths] == ["open", "open"]
    words = " ".join(curve.in_words())
    assert "Depths cannot be told apart: 2.0 groups of benign in effect, fewer than 5." in words
    assert curve.takes() == {}
    assert {d.verdict for d in few_of_a_class("acc").depths} == {"no worse"}


def test_one_group_is_no_study() -> None:
    perfect = [right(np.ones(120, bool)), right(np.arange(120) < 60)]
    curve = freezing_curve({10: perfect, 20: perfect}, TARGETS, np.zeros(120), LUNG)
    assert [d.verdict for d in curve.depths] == ["open", "open"]
    assert np.isnan(curve.corrected)
    assert "too high" not in " ".join(curve.in_words())


def test_a_depth_that_is_worse_by_less_than_the_margin_is_said_to_be_both() -> None:
    def first(count: int) -> np.ndarray:
        return right(np.arange(120) < count)

    curve = freezing_curve({10: [first(118)] * 3, 20: [first(94)] * 3}, TARGETS, np.arange(120), LUNG, margin=0.5)
    assert curve.depths[1].worse
    assert curve.depths[1].verdict == "no worse"
    assert "shown worse: 20 (within the margin)" in " ".join(curve.in_words())
