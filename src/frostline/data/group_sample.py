"""Some images of some groups: what a test that takes groups as its units looks at, however large the data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lgamma, log

import numpy as np

FEWEST_GROUPS = 3  # of a class: fewer say nothing on the next group
MOST_GROUPS = 600  # of all classes together
MOST_IMAGES = 600  # a group more tells more than another image of it
MOST_OF_A_GROUP = 8


@dataclass(frozen=True)
class Sample:
    """Images of whole groups that are tested, as rows into the records; labels are counted from 0 without gaps."""

    rows: np.ndarray
    block: np.ndarray
    """int [N], the group of each."""
    place: np.ndarray
    """int [N], which of its group each is."""
    labels: np.ndarray
    """int [G, M]: of every group its labels, repeated to the size of the largest."""
    main: np.ndarray
    """int [G], the class that most images of it have."""
    note: str
    """Which classes are left out."""
    drawn: str
    """How many groups and images were drawn, where not all."""


def draw_sample(
    labels: np.ndarray, block: np.ndarray, classes: Sequence[str], least_p: float, rng: np.random.Generator
) -> tuple[Sample | None, str]:
    """Groups and images to test; None, and why, when there are too few groups.

    Classes with fewer than `FEWEST_GROUPS` groups are left out. Too few are also those whose labels can be dealt out in
    so few ways that no p would be as small as `least_p`.

    Args:
        labels: int [N], indices into `classes`.
        block: int [N], the group of each image, counted from 0 without gaps.
        classes: their names.
        least_p: what p must be able to reach.
        rng: what groups and images are drawn by.
    """
    counts = _count(labels, block, len(classes))
    of_class = np.bincount(counts.argmax(1)[counts.any(1)], minlength=len(classes))
    has = ", ".join(f"{name} {n}" for name, n in zip(classes, of_class.tolist(), strict=True))
    kept = np.flatnonzero(of_class >= FEWEST_GROUPS)
    too_few = f"too few groups: {has}"
    if len(kept) < 2:
        return None, too_few
    notes = [f"{classes[i]} is left out: {n} groups" for i, n in enumerate(of_class.tolist()) if n < FEWEST_GROUPS]
    counts = counts[:, kept]
    main = np.where(counts.any(1), counts.argmax(1), -1)
    drawn: list[int] = []
    for c in range(len(kept)):
        those = rng.permutation(np.flatnonzero(main == c))
        drawn += those[: max(FEWEST_GROUPS, MOST_GROUPS // len(kept))].tolist()
    chosen, main = np.array(drawn), main[drawn]
    sizes = np.bincount(main)
    arrangements = lgamma(len(main) + 1) - sum(lgamma(n + 1) for n in sizes.tolist()) - lgamma(len(kept) + 1)
    if arrangements < -log(least_p):
        return None, too_few
    most = int(np.clip(MOST_IMAGES // len(chosen), 1, MOST_OF_A_GROUP))
    shuffled = rng.permutation(len(labels))
    shuffled = shuffled[np.isin(labels[shuffled], kept)]
    members = []
    for g, c in zip(chosen.tolist(), main.tolist(), strict=True):
        own = shuffled[block[shuffled] == g]
        first = own[labels[own] == kept[c]][0]  # the main class leads, so that no deal leaves a class without images
        members.append(np.concatenate([[first], own[own != first]])[:most])
    rows = np.concatenate(members)
    some = f"{len(chosen)} of {of_class[kept].sum()} groups, " if len(chosen) < of_class[kept].sum() else ""
    many = f"up to {most} images" if most > 1 else "one image"
    drawn_note = f"{some}{many} of each group" if len(rows) < np.isin(labels, kept).sum() else ""
    return Sample(
        rows,
        np.repeat(np.arange(len(chosen)), [len(m) for m in members]),
        np.concatenate([np.arange(len(m)) for m in members]),
        np.stack([np.resize(np.searchsorted(kept, labels[m]), most) for m in members]),
        main,
        "; ".join(notes),
        drawn_note,
    ), ""


def _count(labels: np.ndarray, block: np.ndarray, classes: int) -> np.ndarray:
    """Images of each class in each group, int [G, C]."""
    counts = np.zeros((block.max(initial=-1) + 1, classes), np.int64)
    np.add.at(counts, (block, labels), 1)
    return counts
