"""Splits: no group in two, every class in every split where that is possible at all, the seed and nothing else."""

from __future__ import annotations

import random
from collections import Counter
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frostline.data.splits import (
    SPLITS,
    fold_grouped,
    fold_random,
    split_grouped,
    split_random,
    splits_beside_test,
    splits_of_fold,
)
from frostline.errors import FrostlineError

USUAL = (0.7, 0.15, 0.15)
Images = list[tuple[int, str]]  # class and group of every image


@st.composite
def pure(draw: st.DrawFn, smallest: int = 1, largest: int = 20) -> Images:
    """Images whose groups have one class each, at least three groups a class."""
    images: Images = []
    for label in range(draw(st.integers(1, 3))):
        sizes = draw(st.lists(st.integers(smallest, largest), min_size=3, max_size=15))
        images += [(label, f"g{label}-{i}") for i, size in enumerate(sizes) for _ in range(size)]
    return images


@st.composite
def mixed(draw: st.DrawFn) -> Images:
    """Few images whose groups may hold several classes, as copies under two class names make them."""
    labels = st.lists(st.integers(0, 2), min_size=1, max_size=4)
    groups = draw(st.lists(labels, min_size=3, max_size=7))
    return [(label, f"g{i}") for i, group in enumerate(groups) for label in group]


@st.composite
def some_fractions(draw: st.DrawFn) -> tuple[float, float, float]:
    train, val, test = (draw(st.floats(0.05, 1)) for _ in range(3))
    total = train + val + test
    return train / total, val / total, test / total


def grouped(images: Images, fractions: tuple[float, float, float] = USUAL, seed: int = 0) -> list[str]:
    return split_grouped([label for label, _ in images], [group for _, group in images], fractions, seed)


def has_every_class_everywhere(images: Images, splits: list[str]) -> bool:
    there = {(label, split) for (label, _), split in zip(images, splits, strict=True)}
    return there == set(product({label for label, _ in images}, SPLITS))


def can_be_split(images: Images) -> bool:
    """Tries every assignment of groups."""
    names = sorted({group for _, group in images})
    return any(
        has_every_class_everywhere(images, [chosen[names.index(group)] for _, group in images])
        for chosen in product(SPLITS, repeat=len(names))
    )


@settings(max_examples=200, deadline=None)
@given(images=pure() | mixed(), fractions=some_fractions(), seed=st.integers(0, 99))
def test_no_group_is_in_two_splits_and_every_image_in_exactly_one(
    images: Images, fractions: tuple[float, float, float], seed: int
) -> None:
    try:
        splits = grouped(images, fractions, seed)
    except FrostlineError:
        return  # whether that was right: below
    assert len(splits) == len(images)
    assert set(splits) <= set(SPLITS)
    assert len({(group, split) for (_, group), split in zip(images, splits, strict=True)}) == len(
        {group for _, group in images}
    )


@settings(max_examples=200, deadline=None)
@given(images=pure(), fractions=some_fractions(), seed=st.integers(0, 99))
def test_every_class_with_three_groups_is_in_every_split(
    images: Images, fractions: tuple[float, float, float], seed: int
) -> None:
    assert has_every_class_everywhere(images, grouped(images, fractions, seed))


@settings(max_examples=150, deadline=None)
@given(images=mixed(), fractions=some_fractions())
def test_groups_of_several_classes_are_split_when_any_assignment_is_valid_and_refused_otherwise(
    images: Images, fractions: tuple[float, float, float]
) -> None:
    if can_be_split(images):
        assert has_every_class_everywhere(images, grouped(images, fractions))
    else:
        with pytest.raises(FrostlineError):
            grouped(images, fractions)


def test_a_class_that_greed_alone_would_leave_out_is_placed_first() -> None:
    """Three groups hold all of class 2, two of them also much of class 0: nearness to the fractions alone fails."""
    for twice in range(1, 30):
        images: Images = [(2, "a"), (2, "b"), (2, "c")] + [(0, "a")] * twice + [(0, "b")] * twice
        images += [(0, f"s{i}") for i in range(4)]
        assert has_every_class_everywhere(images, grouped(images))


def test_groups_that_no_assignment_can_part_are_refused_with_a_way_out() -> None:
    """Classes 0 and 1 force the third and the fourth group into one split; class 2 then has two splits left."""
    content = {"1": (0, 1), "2": (0, 1), "3": (0, 2), "4": (1, 2), "5": (2,)}
    images = [(label, group) for group, labels in content.items() for label in labels]
    with pytest.raises(FrostlineError, match=r"several classes.*data\.split=manifest"):
        grouped(images)


def test_a_class_of_two_groups_is_refused_by_name() -> None:
    images = [("normal", f"a{i}") for i in range(5)] + [("malignant", f"b{min(i, 1)}") for i in range(3)]
    with pytest.raises(FrostlineError, match=r"class malignant has 2 independent group.*data\.similarity"):
        grouped(images)


@settings(max_examples=200, deadline=None)
@given(images=pure(), fractions=some_fractions(), seed=st.integers(0, 99))
def test_fractions_of_every_class_are_met_as_nearly_as_its_groups_allow(
    images: Images, fractions: tuple[float, float, float], seed: int
) -> None:
    splits = grouped(images, fractions, seed)
    total = Counter(label for label, _ in images)
    have = Counter((label, split) for (label, _), split in zip(images, splits, strict=True))
    for label in total:
        largest = max(Counter(group for c, group in images if c == label).values())
        for split, fraction in zip(SPLITS, fractions, strict=True):
            # a split takes a group only while it has too little, so it is at most one group above
            assert -2 * largest <= have[label, split] - fraction * total[label] <= largest + 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_usual_fractions_are_met_to_the_image_when_groups_are_small(seed: int) -> None:
    images = [(label, f"{label}-{i}") for label in range(3) for i in range(100)]
    splits = Counter(zip([label for label, _ in images], grouped(images, seed=seed), strict=True))
    assert all([splits[label, s] for s in SPLITS] == [70, 15, 15] for label in range(3))


@settings(max_examples=150, deadline=None)
@given(data=st.data(), images=pure() | mixed(), fractions=some_fractions())
def test_the_order_of_the_images_does_not_matter(
    data: st.DataObject, images: Images, fractions: tuple[float, float, float]
) -> None:
    order = data.draw(st.permutations(range(len(images))))
    try:
        splits = grouped(images, fractions)
    except FrostlineError:
        with pytest.raises(FrostlineError):
            grouped([images[i] for i in order], fractions)
        return
    assert grouped([images[i] for i in order], fractions) == [splits[i] for i in order]


@pytest.mark.parametrize(
    ("case", "count", "names", "fractions"), [(126, 100, 20, (0.34, 0.33, 0.33)), (193, 300, 80, USUAL)]
)
def test_rounding_in_another_order_does_not_move_a_group(
    case: int, count: int, names: int, fractions: tuple[float, float, float]
) -> None:
    """Ties that sums in the order of the images would decide by their last bit."""
    draw = random.Random(case)
    images = [(draw.randrange(3), f"g{draw.randrange(names)}") for _ in range(count)]
    assert grouped(images[::-1], fractions) == grouped(images, fractions)[::-1]


def test_the_seed_draws_the_split() -> None:
    images = [(label, f"{label}-{i}") for label in range(3) for i in range(20) for _ in range(1 + i % 3)]
    drawn = [tuple(grouped(images, seed=seed)) for seed in range(10)]
    assert drawn == [tuple(grouped(images, seed=seed)) for seed in range(10)]
    assert len(set(drawn)) == 10
    labels, keys = [0, 1, 2] * 20, [f"{i}.png" for i in range(60)]
    assert len({tuple(split_random(labels, keys, USUAL, seed)) for seed in (*range(10), *range(10))}) == 10


def test_the_splits_of_a_seed_are_these_on_every_machine_and_in_every_version() -> None:
    labels = [i % 3 for i in range(30)]
    keys = [f"g{i}" for i in range(30)]
    letters = {"train": ".", "val": "v", "test": "t"}
    assert "".join(letters[s] for s in split_grouped(labels, keys, USUAL, 7)) == ".....tttv..v...v...vt.v.t..vt."
    assert "".join(letters[s] for s in split_random(labels, keys, USUAL, 7)) == "..t......v.t...tv..tvt..vtv.v."


@settings(max_examples=200, deadline=None)
@given(counts=st.lists(st.integers(3, 40), min_size=1, max_size=3), fractions=some_fractions(), data=st.data())
def test_random_splits_have_every_class_everywhere_near_the_fractions_whatever_the_order(
    counts: list[int], fractions: tuple[float, float, float], data: st.DataObject
) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    keys = [f"{i}.png" for i in range(len(labels))]
    splits = split_random(labels, keys, fractions, 0)
    have = Counter(zip(labels, splits, strict=True))
    for label, count in enumerate(counts):
        for split, fraction in zip(SPLITS, fractions, strict=True):
            assert have[label, split] >= 1
            assert abs(have[label, split] - fraction * count) <= 2
    order = data.draw(st.permutations(range(len(labels))))
    shuffled = split_random([labels[i] for i in order], [keys[i] for i in order], fractions, 0)
    assert shuffled == [splits[i] for i in order]


def test_random_splits_refuse_a_class_of_two_images() -> None:
    with pytest.raises(FrostlineError, match=r"class benign has 2 image\(s\)"):
        split_random(["benign"] * 2 + ["normal"] * 3, list("abcde"), USUAL, 0)


@given(images=pure(), folds=st.integers(3, 5), seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_folds_test_every_image_once_and_tear_no_group_apart(images: Images, folds: int, seed: int) -> None:
    labels, groups = [label for label, _ in images], [group for _, group in images]
    if min(len({g for x, g in images if x == label}) for label in set(labels)) < folds:
        with pytest.raises(FrostlineError, match=f"too few for {folds} folds"):
            fold_grouped(labels, groups, folds, seed)
        return
    found = fold_grouped(labels, groups, folds, seed)
    assert len({(g, f) for g, f in zip(groups, found, strict=True)}) == len(set(groups))
    assert {(x, f) for x, f in zip(labels, found, strict=True)} == set(product(set(labels), range(folds)))
    turns = [splits_of_fold(found, fold) for fold in range(folds)]
    for splits in zip(*turns, strict=True):
        assert Counter(splits) == {"test": 1, "val": 1, "train": folds - 2}


@given(images=pure(), folds=st.integers(2, 5), seed=st.integers(0, 9))
@settings(deadline=None)
def test_folds_beside_the_test_set_leave_it_sealed_and_score_all_others_once(
    images: Images, folds: int, seed: int
) -> None:
    labels, groups = [str(x) for x, _ in images], [g for _, g in images]
    splits = split_grouped(labels, groups, USUAL, seed)
    left = {(x, g) for x, g, split in zip(labels, groups, splits, strict=True) if split != "test"}
    if min(Counter(x for x, _ in left).values()) < folds:
        with pytest.raises(FrostlineError, match=f"too few for {folds} folds"):
            splits_beside_test(splits, labels, groups, folds, 0, seed)
        return
    turns = [splits_beside_test(splits, labels, groups, folds, fold, seed) for fold in range(folds)]
    for i, split in enumerate(splits):
        drawn = Counter(turn[i] for turn in turns)
        assert drawn == ({"test": folds} if split == "test" else {"val": 1, "train": folds - 1})
    for turn in turns:
        of_group: dict[str, set[str]] = {}
        for group, split in zip(groups, turn, strict=True):
            of_group.setdefault(group, set()).add(split)
        assert all(len(there) == 1 for there in of_group.values())
        assert {(x, s) for x, s in zip(labels, turn, strict=True)} == set(product(set(labels), SPLITS))


def test_folds_by_image_are_of_one_size_and_class_by_class() -> None:
    labels = [0] * 20 + [1] * 52 + [2] * 31
    keys = [f"image {i}" for i in range(103)]
    found = fold_random(labels, keys, 5, seed=1)
    for label in range(3):
        sizes = Counter(f for x, f in zip(labels, found, strict=True) if x == label)
        assert max(sizes.values()) - min(sizes.values()) <= 1
        assert set(sizes) == set(range(5))
    assert found == fold_random(labels, keys, 5, seed=1) != fold_random(labels, keys, 5, seed=2)
    with pytest.raises(FrostlineError, match="class benign has 2 image"):
        fold_random(["benign"] * 2 + ["normal"] * 3, keys[:5], 3, seed=0)


def test_grouped_folds_are_of_about_the_same_size() -> None:
    images = [(i % 3, f"patient {i}") for i in range(60) for _ in range(1 + i % 4)]
    sizes = Counter(fold_grouped([x for x, _ in images], [g for _, g in images], 5, seed=0))
    assert max(sizes.values()) <= 1.15 * min(sizes.values())
