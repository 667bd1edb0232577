"""Whether the class can be told without looking at the lung: by size, borders, brightness, compression or file kind.

Each set of such features alone predicts the class, cross-validated by group, by a small decision tree (scikit-learn).
Chance is what the same procedure reaches when the labels are dealt out anew among the groups, each group keeping its
own together (a permutation test of exchangeable blocks, Winkler et al. 2014). Holm (1979) corrects for the sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.tree import DecisionTreeClassifier
from statsmodels.stats.multitest import multipletests

from frostline.data.group_sample import Sample, draw_sample
from frostline.data.records import Record
from frostline.data.traits import TRAITS, Columns
from frostline.text import interval, percent

LEVEL = 0.05
FOLDS = 5
PERMUTATIONS = 199
FEWEST_PERMUTATIONS = 59  # enough for a spread; after them a hopeless test ends

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
    given: float = np.nan
    """Mean probability 0..1 given to the true class there: what is tested."""
    chance: tuple[float, float] = (np.nan, np.nan)
    """Middle 95 % of `given` under permuted labels."""
    p: float = np.nan
    """Share of the permutations that are as good, the one found included.

    As good by `given`: where most images are alike, as 512 x 512 ones are, it swings less than the accuracy, and so
    finds more.
    """
    p_corrected: float = np.nan
    """That after Holm over the sets that were tested."""
    drawn: str = ""
    """Of how many groups and images, where not of all."""


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
    if not records:
        return [Shortcut(name, UNTESTABLE, f"{name}: cannot be tested (there are no images).") for name in TRAITS]
    rng = np.random.default_rng(seed)
    labels = np.array([classes.index(r.label) for r in records], np.int64)
    _, block = np.unique(np.array(groups, dtype=object).astype(str), return_inverse=True)
    sample, why_not = draw_sample(labels, block, classes, least_p=LEVEL / len(TRAITS), rng=rng)
    folds = _fold(sample, rng) if sample else np.empty(0)
    traits = {name: read(records, thumbnails) for name, read in TRAITS.items()}
    found: list[Shortcut] = []
    for name, columns in traits.items():
        values = np.stack(list(columns.values()), axis=1)
        if not np.ptp(values, axis=0).any():
            found.append(Shortcut(name, CONSTANT, f"{name}: the same for all images, so it tells nothing."))
        elif sample is None or not np.ptp(values[sample.rows], axis=0).any():
            why = why_not or "the images that differ were not drawn"
            found.append(Shortcut(name, UNTESTABLE, f"{name}: cannot be tested ({why})."))
        else:
            found.append(_test(name, values[sample.rows], sample, folds, permutations, rng))
    tested = [i for i, s in enumerate(found) if s.verdict in (ABOVE, NOT_ABOVE)]
    if not tested or sample is None:
        return found
    corrected = multipletests([found[i].p for i in tested], method="holm")[1]
    for i, p in zip(tested, corrected.tolist(), strict=True):
        clue, owner = _clue(traits[found[i].name], labels, block, classes)
        verdict = ABOVE if p <= LEVEL else ONE_CLASS if owner else NOT_ABOVE
        judged = replace(found[i], verdict=verdict, p_corrected=p, drawn=sample.drawn)
        found[i] = replace(judged, sentence=_say(judged, clue, owner, sample.note))
    return found


def _fold(sample: Sample, rng: np.random.Generator) -> np.ndarray:
    """The fold of each group, int [G], stratified by class; drawn on groups, so that it knows nothing of features."""
    fewest = int(np.bincount(sample.main).min())
    folder = StratifiedGroupKFold(min(FOLDS, fewest), shuffle=True, random_state=int(rng.integers(2**31)))
    folds = np.zeros(len(sample.main), np.int64)
    for i, (_, held_out) in enumerate(folder.split(sample.main, sample.main, np.arange(len(sample.main)))):
        folds[held_out] = i
    return folds


def _test(
    name: str, values: np.ndarray, sample: Sample, folds: np.ndarray, permutations: int, rng: np.random.Generator
) -> Shortcut:
    """The permutation test of features float [N, F] of the sample; its verdict waits for Holm."""
    values = np.ascontiguousarray(values, np.float32)
    accuracy, score = _predict(values, sample, folds, np.arange(len(folds)))
    reached: list[tuple[float, float]] = []
    hopeless = LEVEL * (permutations + 1)  # with so many as good, p stays above the level whatever comes
    as_good = 0
    for _ in range(permutations):
        reached.append(_predict(values, sample, folds, rng.permutation(len(folds))))
        as_good += reached[-1][1] >= score - 1e-12
        if len(reached) >= FEWEST_PERMUTATIONS and as_good >= hopeless:
            break
    low, high = np.quantile([r[1] for r in reached], (0.025, 0.975)).tolist()
    return Shortcut(name, NOT_ABOVE, "", accuracy, score, (low, high), (1 + as_good) / (1 + len(reached)))


def _predict(values: np.ndarray, sample: Sample, folds: np.ndarray, dealt: np.ndarray) -> tuple[float, float]:
    """Balanced accuracy, and mean probability given to the true class, when group g is dealt the labels of `dealt[g]`.

    Both over the folds; every class counts the same, and in it every group. Folds go with the labels, so that they
    stay stratified and need not be drawn anew.
    """
    labels, fold_of = sample.labels[dealt[sample.block], sample.place], folds[dealt][sample.block]
    weights = 1 / np.bincount(sample.block)[sample.block]
    right, given = np.zeros(len(labels)), np.zeros(len(labels))
    smallest = float(np.clip(2 / len(folds), 0.02, 0.25))
    for fold in range(int(folds.max()) + 1):
        inside, out = fold_of != fold, np.flatnonzero(fold_of == fold)
        tree = DecisionTreeClassifier(max_depth=3, min_weight_fraction_leaf=smallest, random_state=0)
        of_class = np.bincount(labels[inside], weights[inside])
        balanced = weights[inside] / of_class[labels[inside]]
        tree.fit(values[inside], labels[inside], balanced, check_input=False)  # checks take longer than such trees
        probability = tree.predict_proba(values[out], check_input=False)
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
    few = above if weights[above].sum() <= 0.5 * weights.sum() else ~above
    low, high = column[few].min(), column[few].max()
    sign, limit = ("=", low) if low == high else ("≥", low) if few is above else ("≤", high)
    question = f"{name} {sign} {f'{limit:.0f}' if abs(limit) >= 100 else f'{limit:.3g}'}"
    if set(np.unique(column)) <= {0.0, 1.0}:
        question = name if few is above else f"not {name}"
    yes, of = np.bincount(labels[few], minlength=len(classes)), np.bincount(labels, minlength=len(classes))
    counts = ", ".join(f"{n} of {total} {c}" for n, total, c in zip(yes.tolist(), of.tolist(), classes, strict=True))
    top = int(yes.argmax())
    own = yes[top] == yes.sum() >= NOT_RARE * of[top] and len(np.unique(column)) <= FEW_VALUES
    held = len(np.unique(block[few]))
    return f"{question}: {counts}, in {held} group{'s' if held != 1 else ''}", classes[top] if own else ""


def _say(shortcut: Shortcut, clue: str, owner: str, note: str) -> str:
    figures = (
        f"the true class is given {percent(shortcut.given)}, by chance {interval(*shortcut.chance)}; balanced accuracy "
        f"{percent(shortcut.accuracy)}"
    )
    after = f"{figures}; p {shortcut.p_corrected:.3f} after Holm" + (f"; {note}" if note else "")
    most = f" What tells most: {clue}." if clue else ""
    if shortcut.verdict == ABOVE:
        look = "Look whether it is the disease or the scanner: a network can learn either."
        return f"{shortcut.name}: predicts the class better than chance ({after}).{most} {look}"
    own = f" Only {owner} has it: in too few groups to tell from chance, yet a network can learn it." if owner else ""
    return f"{shortcut.name}: not shown to predict the class better than chance ({after}).{most}{own}"
