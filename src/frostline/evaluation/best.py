"""Comparisons with the best of several: which are behind it, and how far each can be behind it at most.

Which one is the best is not known, so no bound may rest on the one with the highest mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frostline.evaluation.intervals import LEVEL, quantile

TOLD_APART = 5.0  # groups that tell two configurations apart, in effect, from which their variance is taken as it is
DRAWS = 4000  # of the joint error of all: the 95 % quantile is then known to 1 %


@dataclass(frozen=True)
class Rivals:
    """Means of T configurations over S seeds, on the same images, and what their errors are made of."""

    means: np.ndarray
    """[T]"""
    of_groups: np.ndarray
    """Covariance over groups of images of what all seeds of a configuration have in common, [T, T]."""
    of_seeds: float
    """Mean square between seeds of one configuration, pooled over all."""
    of_images: float
    """The part of that which groups of images make, and more of them make smaller."""
    few: np.ndarray
    """Variance of a difference that its own groups cannot show, for few differ, [T, T]."""
    groups: float
    """Effective number of groups."""
    seeds: int
    degrees: float
    """Of freedom, of the mean square between seeds; 0: nothing is known of it."""

    @classmethod
    def of(cls, values: np.ndarray, deviations: np.ndarray, groups: float) -> Rivals:
        """By `values` [T, S] and their jackknife `deviations` [T, S, G] over groups, of `groups` in effect.

        Seeds are readers nested in configurations (Obuchowski and Rockette 1995; Hillis 2014): two seeds share the
        covariance, and the mean square between seeds holds what they do not share. It is pooled: three seeds say
        little. Where few groups tell two configurations apart, the variance between groups is too small, down to none
        at all; it is then at least that of one more group going each way (Bonett and Price 2012), by how few they are.
        """
        configurations, seeds, count = deviations.shape
        flat = deviations.reshape(-1, count)
        blocks = (flat @ flat.T).reshape(configurations, seeds, configurations, seeds)
        of_groups = blocks.mean((1, 3))
        alone = 0.0
        if seeds > 1:
            own, every = np.einsum("tsts->t", blocks), np.einsum("tstu->t", blocks)
            shared = (every - own) / (seeds * (seeds - 1))
            np.fill_diagonal(of_groups, shared)
            alone = max(0.0, float((own / seeds - shared).mean()))
        few = few_apart(deviations.mean(1), groups)
        between = float(values.var(1, ddof=1).mean()) if seeds > 1 else 0.0
        degrees = configurations * (seeds - 1)
        return cls(values.mean(1), of_groups, between, min(alone, between), few, groups, seeds, degrees)

    @property
    def variances(self) -> np.ndarray:
        """Of the difference of each two means, as estimated, [T, T]; 0 on the diagonal."""
        own = self.of_groups.diagonal()
        of_groups = np.maximum(own[:, None] + own[None, :] - 2 * self.of_groups, 0.0)
        variances: np.ndarray = of_groups + 2 * self.of_seeds / self.seeds
        np.fill_diagonal(variances, 0.0)
        return variances

    @property
    def standard_errors(self) -> np.ndarray:
        """Of the difference of each two means, at least what `few` says, [T, T]; 0 on the diagonal."""
        errors: np.ndarray = np.sqrt(np.maximum(self.variances, self.few))
        np.fill_diagonal(errors, 0.0)
        return errors

    def draw_errors(self, seed: int) -> np.ndarray:
        """Studentised errors of the differences, first less second, [DRAWS, T, T]: multivariate t.

        Errors over groups and over seeds have degrees of freedom of their own.
        """
        rng = np.random.default_rng(seed)
        count = len(self.means)
        values, vectors = np.linalg.eigh((self.of_groups + self.of_groups.T) / 2)
        root = vectors * np.sqrt(np.clip(values, 0.0, None))
        drawn = rng.standard_normal((DRAWS, count)) @ root.T
        drawn *= _spread(rng, self.groups - 1)
        if self.degrees > 0:
            of_seeds = rng.standard_normal((DRAWS, count)) * np.sqrt(self.of_seeds / self.seeds)
            drawn += of_seeds * _spread(rng, self.degrees)
        errors = np.sqrt(self.variances)
        studentised: np.ndarray = np.divide(
            drawn[:, :, None] - drawn[:, None, :],
            errors,
            out=np.zeros((DRAWS, count, count)),
            where=np.broadcast_to(errors > 0, (DRAWS, count, count)),
        )
        return studentised


def few_apart(mean: np.ndarray, groups: float) -> np.ndarray:
    """Variance of differences that few groups cannot show, [T, T], by deviations `mean` [T, G] over groups."""
    apart = (mean[:, None] - mean[None, :]) ** 2
    total, squares = apart.sum(2), (apart**2).sum(2)
    known = np.divide(total**2, squares, out=np.zeros_like(total), where=squares > 0)
    weight = np.clip((known - 1) / TOLD_APART, 0.0, 1.0)
    few: np.ndarray = (1 - weight) * 2 / (groups + 2) ** 2
    return few


def _spread(rng: np.random.Generator, degrees: float) -> np.ndarray:
    spread: np.ndarray = np.sqrt(max(degrees, 1.0) / rng.chisquare(max(degrees, 1.0), (DRAWS, 1)))
    return spread


def behind_at_least(rivals: Rivals, seed: int = 0, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Which are shown to be behind the best, bool [T], and by how much at least, [T], 0 where none is shown.

    None of the best, however many are equal, is called behind it in `level` of studies: the largest studentised
    difference of any two, step-down (a model confidence set by the range: Hansen, Lunde and Nason 2011; Romano and Wolf
    2005). The amount is that of the first step.
    """
    errors, drawn = np.sqrt(rivals.variances), rivals.draw_errors(seed)
    ahead = rivals.means[:, None] - rivals.means[None, :]  # first less second
    left = np.arange(len(rivals.means))
    least = np.zeros(len(left))
    behind = np.zeros(len(left), bool)
    first = True
    while len(left) > 1:
        among = np.ix_(left, left)
        limit = float(np.quantile(drawn[:, left][:, :, left].reshape(DRAWS, -1).max(1), level))
        limit = max(limit, quantile(level, rivals.groups - 1))  # that of one pair at least
        margin = (ahead[among] - limit * errors[among]).max(0)  # the diagonal is 0
        if first:
            least = np.maximum(margin, 0.0)
            first = False
        out = margin > 0
        if not out.any():
            break
        behind[left[out]] = True
        left = left[~out]
    return behind, least


def at_most_behind(rivals: Rivals, margin: float, seed: int = 0, level: float = LEVEL) -> np.ndarray:
    """How far each is behind the best at most, [T]; all hold together in `level` of studies (Hsu 1984).

    Constrained comparisons with the best: those that may be the best are those that Dunnett's one-sided comparison with
    each as control leaves; a bound is the largest to any of them. Where configurations agree on nearly everything, the
    variance is smallest just when the difference looks smallest: it is at least a quarter of what a difference of the
    margin would make, or of the bound itself, if whole groups differed (cf. Tango 1998, who takes it under the margin).
    """
    limits = np.quantile(rivals.draw_errors(seed).max(1), level, axis=0)  # of all others less this control
    limits = np.maximum(limits, quantile(2 * level - 1, rivals.groups - 1))  # of one other, where nothing was drawn
    most = np.zeros(len(rivals.means))
    for _ in range(2):  # of the margin, then of the bound that it gives
        most = _at_most(rivals, np.maximum(most, margin), limits)
    return most


def _at_most(rivals: Rivals, assumed: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """The bounds, by `limits` [T] of each control, with the variance of differences of `assumed` [T] at least."""
    floor = assumed * (1 - np.minimum(assumed, 1.0)) / 4 / rivals.groups
    errors = np.maximum(rivals.standard_errors, np.sqrt(floor)[:, None])
    np.fill_diagonal(errors, 0.0)
    ahead = rivals.means[:, None] - rivals.means[None, :]
    upper = ahead + limits[:, None] * errors.T  # [control, other]
    np.fill_diagonal(upper, np.inf)
    candidates = (upper > 0).all(1)
    bounds = -(ahead - limits[None, :] * errors)  # [this, control]
    np.fill_diagonal(bounds, -np.inf)
    bounds[:, ~candidates] = -np.inf
    most: np.ndarray = np.maximum(bounds.max(1), 0.0)
    return most
