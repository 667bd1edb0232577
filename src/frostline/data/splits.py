"""Splits into train, val and test: pure, seeded, the same on every machine.

What is drawn comes from SHA-256 of the seed and a key, not from a generator whose stream a library may change.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from frostline.config import CLASSES, FrostlineError

SPLITS = ("train", "val", "test")


def split_grouped(
    labels: Sequence[int], groups: Sequence[str], fractions: tuple[float, float, float], seed: int
) -> list[str]:
    """Assign every image to a split so that no group is in two, as near to `fractions` of every class as groups allow.

    Greedy, large groups first (the way of scikit-learn's StratifiedGroupKFold): each group goes where its classes are
    furthest from what they should have. Raises `FrostlineError` when a class has fewer than three groups.
    """
    content: dict[str, Counter[int]] = defaultdict(Counter)
    for label, group in zip(labels, groups, strict=True):
        content[group][label] += 1
    for label in sorted(set(labels)):
        count = sum(label in c for c in content.values())
        if count < len(SPLITS):
            raise FrostlineError(
                f"class {CLASSES[label]} has {count} independent group(s) of images: too few for train, val and test; "
                "get more patients, raise data.similarity, or bring your own split with data.split=manifest"
            )
    total = Counter(labels)
    wanted = [{label: fraction * total[label] for label in total} for fraction in fractions]
    have: list[Counter[int]] = [Counter() for _ in SPLITS]
    where: dict[str, int] = {}
    # sizes in powers of two: within one, the seed decides the order
    for group in sorted(content, key=lambda g: (-content[g].total().bit_length(), _draw(seed, g))):
        classes = content[group]

        def need(split: int, classes: Counter[int] = classes) -> tuple[float, float]:
            share = sum(n * (1 - have[split][c] / wanted[split][c]) for c, n in classes.items())
            return share, sum(wanted[split].values())

        best = max(range(len(SPLITS)), key=need)
        where[group] = best
        have[best] += classes
    _fill_empty(content, have, where)
    return [SPLITS[where[group]] for group in groups]


def _fill_empty(content: dict[str, Counter[int]], have: list[Counter[int]], where: dict[str, int]) -> None:
    """Give every split a group of every class, the smallest that leaves no other split without one."""
    for _ in range(len(SPLITS) * len(CLASSES)):
        empty = [(s, c) for s in range(len(SPLITS)) for c in sorted(set().union(*content.values())) if not have[s][c]]
        if not empty:
            return
        split, label = empty[0]
        spare = [g for g, classes in content.items() if label in classes and _spare(classes, have[where[g]])]
        if not spare:
            return
        group = min(spare, key=lambda g: (content[g].total(), g))
        have[where[group]] -= content[group]
        have[split] += content[group]
        where[group] = split


def _spare(classes: Counter[int], have: Counter[int]) -> bool:
    return all(have[label] > n for label, n in classes.items())


def split_random(
    labels: Sequence[int], keys: Sequence[str], fractions: tuple[float, float, float], seed: int
) -> list[str]:
    """Assign every image by itself, stratified by class; `keys` name the images (their paths).

    Raises `FrostlineError` when a class has fewer than three images.
    """
    splits = [""] * len(labels)
    for label in sorted(set(labels)):
        members = sorted((i for i, x in enumerate(labels) if x == label), key=lambda i: _draw(seed, keys[i]))
        if len(members) < len(SPLITS):
            raise FrostlineError(f"class {CLASSES[label]} has {len(members)} image(s): too few for train, val and test")
        val = max(1, round(fractions[1] * len(members)))
        test = max(1, round(fractions[2] * len(members)))
        names = ["test"] * test + ["val"] * val + ["train"] * max(1, len(members) - val - test)
        for i, name in zip(members, names, strict=False):
            splits[i] = name
    return splits


def _draw(seed: int, key: str) -> str:
    return hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()
