"""A race of settings: after every round those that are shown to be behind the best leave, and the rest go on.

Every round is looked at as if it were the last, at a stricter level, so that all looks
together err as rarely as one would. What leaves is not looked at again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from frostline.evaluation.best import Rivals, at_most_behind, behind_at_least, few_apart
from frostline.evaluation.intervals import LEVEL, effective_groups


class Fold(NamedTuple):
    """What T settings with S seeds each, as many for all of them, say of the validation images of one fold."""

    correct: np.ndarray
    """Whether they are right, [T, S, N]."""
    targets: np.ndarray
    """Classes of the images, int [N]."""
    groups: np.ndarray
    """Groups of the images, [N]; one may be in several folds."""


class Look(NamedTuple):
    """What one look shows of each setting, [T]."""

    worse: np.ndarray
    """Shown behind the best, bool."""
    least: np.ndarray
    """By how much at least, 0 where nothing is shown."""
    no_worse: np.ndarray
    """Shown at most the margin behind it, bool."""

    @property
    def leaves(self) -> np.ndarray:
        """Worse, and not known to be so by less than the margin: what is no worse may be the finding."""
        leaves: np.ndarray = self.worse & ~self.no_worse
        return leaves

    @property
    def decided(self) -> bool:
        """Whether nothing is left to find out: one stays, or all that stay are no worse."""
        stays = ~self.leaves
        return int(stays.sum()) == 1 or bool(self.no_worse[stays].all())


def level_of(looks: int) -> float:
    """The level of each of so many looks at growing data, so that together they err in 1 - `LEVEL` at most.

    That of a group-sequential test with a boundary that stays (Pocock 1977), for looks after equal steps: after less
    than equal steps they go together more, and err less.
    """
    steps = np.random.default_rng(0).standard_normal((200_000, looks))
    largest = np.abs(steps.cumsum(1) / np.sqrt(np.arange(1, looks + 1))).max(1)
    return float(2 * norm.cdf(np.quantile(largest, LEVEL)) - 1)


def rivals_of_folds(folds: Sequence[Fold], balanced: bool) -> Rivals:
    """Scores of T settings pooled over `folds`, accuracy or balanced accuracy, and what their errors are made of.

    Seeds may differ in number between folds, one fold has two. As `Rivals.of`: over groups by the jackknife; over
    seeds by the mean square between seeds of one setting on one fold, pooled, for every network is trained by itself;
    the part of that which images make is taken out of the variance over groups, which holds it too. While folds have
    one seed, it is at least what the mean square between settings and folds makes of it, which holds both.
    """
    bucket = [fold.targets if balanced else np.zeros_like(fold.targets) for fold in folds]
    size = np.bincount(np.concatenate(bucket)).astype(float)
    there = np.flatnonzero(size)
    weight = [1 / (len(there) * size[b]) for b in bucket]
    mean = np.concatenate([fold.correct.mean(1) for fold in folds], axis=1)
    names, group = np.unique(np.concatenate([fold.groups for fold in folds]), return_inverse=True)
    means, deviations = _leave_out(mean, group, np.concatenate(bucket), len(names))
    of_groups = deviations @ deviations.T
    squares, alone, degrees = 0.0, 0.0, 0
    for fold, w in zip(folds, weight, strict=True):
        settings, seeds, _ = fold.correct.shape
        if seeds > 1:
            scores = fold.correct @ w
            within = fold.correct - fold.correct.mean(1, keepdims=True)
            _, of_image = np.unique(fold.groups, return_inverse=True)
            of_group = np.stack([np.bincount(of_image, weights=row) for row in (within * w).reshape(-1, len(w))])
            squares += float(((scores - scores.mean(1, keepdims=True)) ** 2).sum())
            alone += float((of_group**2).sum())  # of T * (S - 1) deviations, as the squares
            degrees += settings * (seeds - 1)
    shares = sum(1 / fold.correct.shape[1] for fold in folds)
    between, own = (squares / degrees, min(squares, alone) / degrees) if degrees else (0.0, 0.0)
    diagonal = of_groups.diagonal()
    np.fill_diagonal(of_groups, np.maximum(diagonal - own * shares, 0.0))
    groups = effective_groups(group)
    rivals = Rivals(means, of_groups, between * shares, own * shares, few_apart(deviations, groups), groups, 1, degrees)
    if len(folds) == 1 or all(fold.correct.shape[1] > 1 for fold in folds):
        return rivals
    # The first fold alone says what seeds do, and may be an easy one.
    mixed, freedom = _between_folds(folds, weight, means)
    lacking = mixed - float(rivals.variances[~np.eye(len(means), dtype=bool)].mean()) / 2
    if lacking <= 0:
        return rivals
    return replace(rivals, of_seeds=rivals.of_seeds + lacking, degrees=min(degrees, freedom))


def _between_folds(folds: Sequence[Fold], weight: Sequence[np.ndarray], means: np.ndarray) -> tuple[float, int]:
    """Variance of a pooled score by how settings and folds go together, and its degrees of freedom."""
    parts = np.stack([fold.correct.mean(1) @ w for fold, w in zip(folds, weight, strict=True)], axis=1)
    parts = parts - means[:, None] * parts.mean(0) / parts.mean(0).sum()  # what a setting adds everywhere
    rest = parts - parts.mean(0) - parts.mean(1, keepdims=True) + parts.mean()
    freedom = (len(means) - 1) * (len(folds) - 1)
    return len(folds) * float((rest**2).sum()) / freedom, freedom


def _leave_out(mean: np.ndarray, group: np.ndarray, bucket: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores [T] and their jackknife deviations [T, G]: the mean over buckets of the share that is right."""
    cells = group * (bucket.max() + 1) + bucket
    shape = groups, int(bucket.max()) + 1
    size = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape).astype(float)
    right = np.stack([np.bincount(cells, weights=row, minlength=shape[0] * shape[1]).reshape(shape) for row in mean])
    used = size.sum(0) > 0
    size, right = size[:, used], right[:, :, used]
    scores = (right.sum(1) / size.sum(0)).mean(1)
    left = np.maximum(size.sum(0) - size, 1.0)
    without = ((right.sum(1, keepdims=True) - right) / left).mean(2)
    deviations = (without - without.mean(1, keepdims=True)) * np.sqrt((groups - 1) / groups)
    return scores, deviations


def look_at(rivals: Rivals, margin: float, level: float, seed: int = 0) -> Look:
    """Judge those that are still in the race."""
    worse, least = behind_at_least(rivals, seed, level)
    return Look(worse, least, at_most_behind(rivals, margin, seed, level) <= margin)


def rounds_of(folds: int, seeds: int) -> list[list[int]]:
    """The rounds after which a race is looked at: the number of seeds done on each fold that was begun.

    Two seeds of the first fold say what seeds make of a score; then one of each other fold, for patients decide more;
    then the second seed of these, and one more of all at a time. The first look is at three folds, where there are
    three: of fewer patients little can be seen.
    """
    rounds = [[2] + [1] * more for more in range(min(2, folds - 1), folds)]
    return [*rounds, *([n] * folds for n in range(2 if folds > 1 else 3, seeds + 1))]
