"""Whether the class can be told without looking at the lung: by size, borders, brightness, compression or file kind.

Each set of such features alone predicts the class, cross-validated by group, by a small decision tree (scikit-learn).
Chance is what the same procedure reaches when the labels are dealt out anew among the groups, each group keeping its
own together (a permutation test of exchangeable blocks, Winkler et al. 2014). Holm (1979) corrects for the sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import lgamma, log

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.tree import DecisionTreeClassifier
from statsmodels.stats.multitest import multipletests

from frostline.data.records import Record
from frostline.data.traits import TRAITS, Columns
from frostline.text import interval, percent

LEVEL = 0.05
FOLDS = 5
FEWEST_GROUPS = 3  # of a class: fewer say nothing on the next group
PERMUTATIONS = 199
FEWEST_PERMUTATIONS = 59  # enough for a spread; after them a hopeless test ends
MOST_GROUPS = 900  # of all classes together
MOST_IMAGES = 1000
MOST_OF_A_GROUP = 8

FEW_VALUES = 10  # of a feature: with more, some value is always one class's own
NOT_RARE = 0.05  # of a class's images

ABOVE, NOT_ABOVE = "above chance", "not above chance"
ONE_CLASS, CONSTANT, UNTESTABLE = "not above chance, but one class's own", "the same for all", "cannot be tested"


@dataclass(frozen=True)
class Shortcut:
    """How well one set of features alone predicts the class; figures are NaN where nothing could be tested."""

    name: str
    verdict: str
    """One of `ABOVE`, `NOT_ABOVE`, `ONE_CLASS`, `CONSTANT`, `UNTESTABLE`.

    `ONE_CLASS`: too few groups to tell from chance, but a size or kind that only one class has, and has often.
    """
    sentence: str
    """All of it in plain words."""
    accuracy: float = np.nan
    """Balanced accuracy 0..1 on groups that the tree was not grown on; every group counts the same."""
    chance: tuple[float, float] = (np.nan, np.nan)
    """Middle 95 % of that under permuted labels."""
    p: float = np.nan
    """Share of the permutations that are as good, the one found included.

    As good by the mean probability given to the true class: where most images are alike, as 512 x 512 ones are, it
    swings less than the accuracy, and so finds more.
    """
    p_corrected: float = np.nan
    """That after Holm over the sets that were tested."""


@dataclass(frozen=True)
class _Sample:
    """Images of whole groups that are tested, as rows into the records; labels are counted from 0 without gaps."""

    rows: np.ndarray
    block: np.ndarray
    """int [N], the group of each."""
    place: np.ndarray
    """int [N], which of its group each is."""
    labels: np.ndarray
    """int [G, M]: of every group its labels, repeated to the size of the largest."""
    folds: np.ndarray
    """int [G]."""
    classes: tuple[str, ...]
    note: str
    """What was left out, or nothing."""


def find_shortcuts(
    records: Sequence[Record],
    thumbnails: np.ndarray,
    groups: Sequence[str],
    classes: Sequence[str],
    seed: int = 0,
    permutations: int = PERMUTATIONS,
) -> list[Shortcut]:
    """Test every set of features of `TRAITS` alone: one `Shortcut` each, in their order.

    Groups are what is drawn, folded and permuted, so p holds as far as they are independent: where one patient is
    spread over several groups, it is too small. Of large data sets some groups and some images of each are drawn.

    Args:
        records: the images.
        thumbnails: uint16 [N, 64, 64], grey 0..65535, of `records`.
        groups: name of the group of each.
        classes: names of the classes.
        seed: what groups, folds and permutations are drawn from; the same gives the same.
        permutations: how many; p is 1 / (permutations + 1) at least.

    Raises:
        ValueError: lengths differ.
    """
    if not len(records) == len(thumbnails) == len(groups):
        raise ValueError(f"{len(records)} records, {len(thumbnails)} thumbnails, {len(groups)} groups")
    rng = np.random.default_rng(seed)
    labels = np.array([classes.index(r.label) for r in records], np.int64)
    _, block = np.unique(np.array(groups, dtype=object).astype(str), return_inverse=True)
    sample, why_not = _draw(labels, block, classes, rng)
    traits = {name: read(records, thumbnails) for name, read in TRAITS.items()}
    found: list[Shortcut] = []
    for name, columns in traits.items():
        values = np.stack(list(columns.values()), axis=1)
        if not len(values) or not np.ptp(values, axis=0).any():
            found.append(Shortcut(name, CONSTANT, f"{name}: the same for all images, so it tells nothing."))
        elif sample is None or not np.ptp(values[sample.rows], axis=0).any():
            why = why_not or "the images that differ were not drawn"
            found.append(Shortcut(name, UNTESTABLE, f"{name}: cannot be tested ({why})."))
        else:
            found.append(_test(name, values[sample.rows], sample, permutations, rng))
    tested = [i for i, s in enumerate(found) if s.verdict in (ABOVE, NOT_ABOVE)]
    if not tested or sample is None:
        return found
    corrected = multipletests([found[i].p for i in tested], method="holm")[1]
    for i, p in zip(tested, corrected.tolist(), strict=True):
        clue, owner = _clue(traits[found[i].name], labels, block, classes)
        verdict = ABOVE if p <= LEVEL else ONE_CLASS if owner else NOT_ABOVE
        judged = replace(found[i], verdict=verdict, p_corrected=float(p))
        found[i] = replace(judged, sentence=_say(judged, clue, owner, sample.note))
    return found


def _draw(
    labels: np.ndarray, block: np.ndarray, classes: Sequence[str], rng: np.random.Generator
) -> tuple[_Sample | None, str]:
    """Groups and images to test, in folds; None, and why, when there are too few groups."""
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
    if arrangements < log(len(TRAITS) / LEVEL):  # even the best would not be below it after Holm
        return None, too_few
    most = int(np.clip(MOST_IMAGES // len(chosen), 1, MOST_OF_A_GROUP))
    shuffled = rng.permutation(len(labels))
    shuffled = shuffled[np.isin(labels[shuffled], kept)]
    members = [shuffled[block[shuffled] == g][:most] for g in chosen.tolist()]
    own = [np.searchsorted(kept, labels[m]) for m in members]
    folder = StratifiedGroupKFold(min(FOLDS, int(sizes.min())), shuffle=True, random_state=int(rng.integers(2**31)))
    folds = np.zeros(len(chosen), np.int64)
    for i, (_, held_out) in enumerate(folder.split(main, main, np.arange(len(main)))):
        folds[held_out] = i
    rows = np.concatenate(members)
    if len(rows) < np.isin(labels, kept).sum():
        some = (
            f"{len(chosen)} groups drawn of {int(of_class[kept].sum())}, " if len(chosen) < of_class[kept].sum() else ""
        )
        notes.append(f"{some}up to {most} images of a group")
    return _Sample(
        rows,
        np.repeat(np.arange(len(chosen)), [len(m) for m in members]),
        np.concatenate([np.arange(len(m)) for m in members]),
        np.stack([np.resize(o, most) for o in own]),
        folds,
        tuple(classes[i] for i in kept.tolist()),
        "; ".join(notes),
    ), ""


def _count(labels: np.ndarray, block: np.ndarray, classes: int) -> np.ndarray:
    """Images of each class in each group, int [G, C]."""
    counts = np.zeros((block.max(initial=-1) + 1, classes), np.int64)
    np.add.at(counts, (block, labels), 1)
    return counts


def _test(name: str, values: np.ndarray, sample: _Sample, permutations: int, rng: np.random.Generator) -> Shortcut:
    """The permutation test of features float [N, F] of the sample; its verdict waits for Holm."""
    accuracy, score = _predict(values, sample, np.arange(len(sample.folds)))
    reached: list[tuple[float, float]] = []
    hopeless = LEVEL * (permutations + 1)  # with so many as good, p stays above the level whatever comes
    as_good = 0
    for _ in range(permutations):
        reached.append(_predict(values, sample, rng.permutation(len(sample.folds))))
        as_good += reached[-1][1] >= score - 1e-12
        if len(reached) >= FEWEST_PERMUTATIONS and as_good >= hopeless:
            break
    low, high = np.quantile([r[0] for r in reached], (0.025, 0.975)).tolist()
    return Shortcut(name, NOT_ABOVE, "", accuracy, (low, high), (1 + as_good) / (1 + len(reached)))


def _predict(values: np.ndarray, sample: _Sample, dealt: np.ndarray) -> tuple[float, float]:
    """Balanced accuracy, and mean probability given to the true class, when group g is dealt the labels of `dealt[g]`.

    Both over the folds; every class counts the same, and in it every group. Folds go with the labels, so that they
    stay stratified and need not be drawn anew.
    """
    labels, folds = sample.labels[dealt[sample.block], sample.place], sample.folds[dealt][sample.block]
    weights = 1 / np.bincount(sample.block)[sample.block]
    right, given = np.zeros(len(labels)), np.zeros(len(labels))
    smallest = float(np.clip(2 / len(sample.folds), 0.02, 0.25))
    for fold in range(int(sample.folds.max()) + 1):
        inside, out = folds != fold, np.flatnonzero(folds == fold)
        tree = DecisionTreeClassifier(max_depth=3, min_weight_fraction_leaf=smallest, random_state=0)
        of_class = np.bincount(labels[inside], weights[inside])
        tree.fit(values[inside], labels[inside], weights[inside] / of_class[labels[inside]])
        probability = tree.predict_proba(values[out])
        right[out] = probability.argmax(1) == labels[out]
        given[out] = probability[np.arange(len(out)), labels[out]]
    of_class = np.bincount(labels, weights)
    accuracy, score = (float(np.mean(np.bincount(labels, weights * hits) / of_class)) for hits in (right, given))
    return accuracy, score


def _clue(columns: Columns, labels: np.ndarray, block: np.ndarray, classes: Sequence[str]) -> tuple[str, str]:
    """The one question that tells most, with how many images of each class answer yes; the class they all are of.

    That class is empty where they are of several, are rare in it, or the feature has too many values to wonder.
    """
    values = np.stack(list(columns.values()), axis=1)
    weights = 1 / np.bincount(block)[block]
    weights = weights / np.bincount(labels, weights)[labels]
    root = DecisionTreeClassifier(max_depth=1, random_state=0).fit(values, labels, weights).tree_
    if root.feature[0] < 0:
        return "", ""
    name, column = list(columns)[root.feature[0]], values[:, root.feature[0]]
    above = column.astype(np.float32) > root.threshold[0]
    few = above if above.mean() <= 0.5 else ~above
    low, high = column[few].min(), column[few].max()
    sign, limit = ("=", low) if low == high else ("≥", low) if few is above else ("≤", high)
    question = f"{name} {sign} {f'{limit:.0f}' if abs(limit) >= 100 else f'{limit:.3g}'}"
    if set(np.unique(column)) <= {0.0, 1.0}:
        question = name if few is above else f"not {name}"
    yes, of = np.bincount(labels[few], minlength=len(classes)), np.bincount(labels, minlength=len(classes))
    counts = ", ".join(f"{n} of {total} {c}" for n, total, c in zip(yes.tolist(), of.tolist(), classes, strict=True))
    top = int(yes.argmax())
    own = yes[top] == yes.sum() >= NOT_RARE * of[top] and len(np.unique(column)) <= FEW_VALUES
    return f"{question}: {counts}, in {len(np.unique(block[few]))} groups", classes[top] if own else ""


def _say(shortcut: Shortcut, clue: str, owner: str, note: str) -> str:
    figures = f"balanced accuracy {percent(shortcut.accuracy)}, by chance {interval(*shortcut.chance)}"
    after = f"{figures}; p {shortcut.p_corrected:.3f} after Holm" + (f"; {note}" if note else "")
    most = f" What tells most: {clue}." if clue else ""
    if shortcut.verdict == ABOVE:
        look = "Look whether it is the disease or the scanner: a network can learn either."
        return f"{shortcut.name}: predicts the class better than chance ({after}).{most} {look}"
    own = f" Only {owner} has it: in too few groups to tell from chance, yet a network can learn it." if owner else ""
    return f"{shortcut.name}: not shown to predict the class better than chance ({after}).{most}{own}"
