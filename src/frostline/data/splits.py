"""Splits into train, val and test: pure, seeded, the same on every machine.

What is drawn comes from SHA-256 of the seed and a key, not from a generator whose stream a library may change.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from frostline.errors import FrostlineError

SPLITS = ("train", "val", "test")
Contents = Mapping[str, Counter[str]]  # group -> how many images of which class


def split_grouped(
    labels: Sequence[str], groups: Sequence[str], fractions: tuple[float, float, float], seed: int
) -> list[str]:
    """Assign every image to a split so that no group is in two, as near to `fractions` of every class as groups allow.

    Greedy, large groups first (the way of scikit-learn's StratifiedGroupKFold): each group goes where its classes are
    furthest from what they should have. Where groups of several classes would leave a split without one of them, the
    smallest groups that prevent it are placed first. Raises `FrostlineError` when a class cannot be in every split.
    """
    return [SPLITS[part] for part in _parts(labels, groups, fractions, seed, "train, val and test")]


def split_in_two(labels: Sequence[str], groups: Sequence[str], fraction: float, seed: int) -> list[bool]:
    """Whether every image is in the smaller part of two, which gets about `fraction` of every class, no group in both.

    The way of `split_grouped`. Raises `FrostlineError` when a class cannot be in both.
    """
    parts = _parts(labels, groups, (1 - fraction, fraction), seed, "training and validation")
    return [part == 1 for part in parts]


def fold_grouped(labels: Sequence[str], groups: Sequence[str], folds: int, seed: int) -> list[int]:
    """Assign every image to one of `folds` folds of about the same size and classes, no group in two.

    The way of `split_grouped`. Raises `FrostlineError` when a class cannot be in every fold.
    """
    return _parts(labels, groups, (1 / folds,) * folds, seed, f"{folds} folds")


def splits_of_fold(folds: Sequence[int], fold: int) -> list[str]:
    """Splits for one turn of a cross-validation: `fold` is the test set, the next one validation, the others train."""
    val = (fold + 1) % (max(folds) + 1)
    return ["test" if f == fold else "val" if f == val else "train" for f in folds]


def splits_beside_test(
    splits: Sequence[str], labels: Sequence[str], groups: Sequence[str], folds: int, fold: int, seed: int
) -> list[str]:
    """`splits` with the test images as they are, and of all others `fold` of so many as validation.

    Over all folds every image outside of the test set is validation once. Raises `FrostlineError` as `fold_grouped`.
    """
    rest = [i for i, split in enumerate(splits) if split != "test"]
    parts = fold_grouped([labels[i] for i in rest], [groups[i] for i in rest], folds, seed)
    drawn = [*splits]
    for i, part in zip(rest, parts, strict=True):
        drawn[i] = "val" if part == fold else "train"
    return drawn


def _parts(
    labels: Sequence[str], groups: Sequence[str], fractions: Sequence[float], seed: int, names: str
) -> list[int]:
    """The part of every image, as many parts as there are fractions; `names` is what an error calls them."""
    content: dict[str, Counter[str]] = defaultdict(Counter)
    for label, group in zip(labels, groups, strict=True):
        content[group][label] += 1
    advice = (
        "get more patients, raise data.similarity or data.series_similarity (`frostline data` shows what they join), "
        "say who is one patient with data.patients=FILE, or bring your own split with data.split=manifest"
    )
    for label in sorted(set(labels)):
        count = sum(label in c for c in content.values())
        if count < len(fractions):
            raise FrostlineError(
                f"class {label} has {count} independent group(s) of images: too few for {names}; " + advice
            )
    # sizes in powers of two: within one, the seed decides the order
    order = sorted(content, key=lambda g: (-content[g].total().bit_length(), _draw(seed, g)))
    where = _fill(content, order, fractions, {})
    if not _complete(content, where, len(fractions)):
        fixed = _reserve(content, seed, len(fractions))
        if fixed is None:
            raise FrostlineError(
                "groups that hold several classes (copies under two class names?) leave no way to have every class in "
                f"{names}; " + advice
            )
        where = _fill(content, order, fractions, fixed)
    return [where[group] for group in groups]


def _fill(
    content: Contents, order: Sequence[str], fractions: Sequence[float], fixed: Mapping[str, int]
) -> dict[str, int]:
    """Place the groups in `order` beside those that are `fixed`, each where its classes are needed most."""
    total: Counter[str] = Counter()
    for classes in content.values():
        total += classes
    wanted = [{label: fraction * total[label] for label in sorted(total)} for fraction in fractions]
    have: list[Counter[str]] = [Counter() for _ in fractions]
    where = dict(fixed)
    for group, split in fixed.items():
        have[split] += content[group]
    for group in order:
        if group in fixed:
            continue
        counts = sorted(content[group].items())  # sorted, so that sums are the same to the last bit

        def need(split: int, counts: Sequence[tuple[str, int]] = counts) -> tuple[float, float]:
            share = sum(n * (1 - have[split][c] / wanted[split][c]) for c, n in counts)
            return share, sum(wanted[split].values())

        where[group] = max(range(len(fractions)), key=need)
        have[where[group]] += content[group]
    return where


def _complete(content: Contents, where: Mapping[str, int], parts: int) -> bool:
    there = {(split, label) for group, split in where.items() for label in content[group]}
    return len(there) == parts * len({label for _, label in there})


def _reserve(content: Contents, seed: int, parts: int) -> dict[str, int] | None:
    """The groups that put every class into every part, few and small where possible; None when there are none.

    A search in depth over what is missing: groups of the same classes are alike to it, so it is short.
    """
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for group in sorted(content, key=lambda g: (content[g].total(), _draw(seed, g))):
        alike[tuple(sorted(content[group]))].append(group)
    kinds = sorted(alike, key=lambda kind: (len(kind), kind))
    missing = {(split, label) for split in range(parts) for kind in kinds for label in kind}

    def place(missing: set[tuple[int, str]], used: Counter[tuple[str, ...]]) -> dict[str, int] | None:
        if not missing:
            return {}
        split, label = min(missing)
        for kind in kinds:
            if label in kind and used[kind] < len(alike[kind]):
                rest = place(missing - {(split, c) for c in kind}, used + Counter([kind]))
                if rest is not None:
                    return {alike[kind][used[kind]]: split, **rest}
        return None

    return place(missing, Counter())


def split_random(
    labels: Sequence[str], keys: Sequence[str], fractions: tuple[float, float, float], seed: int
) -> list[str]:
    """Assign every image by itself, stratified by class; `keys` name the images (their paths).

    Raises `FrostlineError` when a class has fewer than three images.
    """
    splits = [""] * len(labels)
    for label in sorted(set(labels)):
        members = sorted((i for i, x in enumerate(labels) if x == label), key=lambda i: _draw(seed, keys[i]))
        if len(members) < len(SPLITS):
            raise FrostlineError(f"class {label} has {len(members)} image(s): too few for train, val and test")
        test = min(max(1, round(fractions[2] * len(members))), len(members) - 2)
        val = min(max(1, round(fractions[1] * len(members))), len(members) - 1 - test)
        names = ["test"] * test + ["val"] * val + ["train"] * (len(members) - val - test)
        for i, name in zip(members, names, strict=True):
            splits[i] = name
    return splits


def fold_random(labels: Sequence[str], keys: Sequence[str], folds: int, seed: int) -> list[int]:
    """Assign every image by itself to one of `folds` folds, stratified by class; `keys` name the images.

    Raises `FrostlineError` when a class has fewer images than there are folds.
    """
    found = [0] * len(labels)
    for label in sorted(set(labels)):
        members = sorted((i for i, x in enumerate(labels) if x == label), key=lambda i: _draw(seed, keys[i]))
        if len(members) < folds:
            raise FrostlineError(f"class {label} has {len(members)} image(s): too few for {folds} folds")
        for place, i in enumerate(members):
            found[i] = place % folds
    return found


def _draw(seed: int, key: str) -> str:
    return hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()
