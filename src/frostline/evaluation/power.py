"""What it takes to settle a comparison with the best: patients and seeds, from a pilot's variances or from assumptions.

A depth is settled when it is shown to be no worse by more than a margin, or to be worse (`best`). Both ask that the
width of the bound and what chance may take away fit into the gap: (limit + quantile of the power) x standard error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from frostline.evaluation.best import Rivals
from frostline.evaluation.intervals import LEVEL

AT = (8, 16, 32, 64, 128, 512)  # groups at which limits are drawn: they move slowly
POWER = 0.8  # chance to settle it, that a study is planned for
MOST_SEEDS = 50


@dataclass(frozen=True)
class Assumptions:
    """A study that is not begun: what is expected of its networks and images."""

    accuracy: float
    """Expected of all depths, 0..1."""
    images: float
    """Of a patient."""
    correlation: float
    """Of right and wrong between two images of a patient, 0..1 (intraclass correlation)."""
    agreement: float
    """Of right and wrong between networks of two depths on an image, 0..1."""
    seed_agreement: float
    """The same between two seeds of one depth, 0..1; not less."""
    seed_spread: float
    """Standard deviation of the accuracy between seeds, on endless images, 0..1."""
    depths: int
    seeds: int

    def rivals(self, patients: int) -> Rivals:
        """Equal depths judged on so many patients."""
        of_patient = self.accuracy * (1 - self.accuracy) * (1 + (self.images - 1) * self.correlation) / self.images
        one = of_patient / patients
        shared = np.full((self.depths, self.depths), one * self.agreement)
        np.fill_diagonal(shared, one * self.seed_agreement)
        return Rivals(
            means=np.full(self.depths, self.accuracy),
            of_groups=shared,
            of_seeds=self.seed_spread**2 + one * (1 - self.seed_agreement),
            of_images=one * (1 - self.seed_agreement),
            few=np.zeros_like(shared),
            groups=float(patients),
            seeds=self.seeds,
            degrees=self.depths * (self.seeds - 1),
        )


class Takes(NamedTuple):
    """What it takes to settle a depth that is open; None where no number is enough."""

    groups: int | None
    """Of images, of the sizes of the pilot's, with as many seeds."""
    seeds: int | None
    """On the pilot's groups."""


class _Limits(NamedTuple):
    """Standard errors that bounds are wide: of being no worse, of being worse; and what luck puts ahead of one."""

    no_worse: float
    worse: float
    ahead: np.ndarray


class Planner:
    """Answers of one pilot, or of assumptions as one: its variances, and the limits of its bounds.

    The variance of a difference is taken as the same for every two configurations, the mean of what the pilot shows.
    """

    def __init__(self, rivals: Rivals, margin: float) -> None:
        self._rivals, self._margin = rivals, margin
        pairs = ~np.eye(len(rivals.means), dtype=bool)
        between = float(np.mean(rivals.variances[pairs])) - 2 * rivals.of_seeds / rivals.seeds
        self._per_group = rivals.groups * between
        self._per_group_and_seed = rivals.groups * 2 * rivals.of_images
        self._per_seed = 2 * (rivals.of_seeds - rivals.of_images)
        self._drawn: dict[int, _Limits] = {}

    def _limits(self, groups: float) -> _Limits:
        """What bounds cost on so many groups."""
        at = max((n for n in AT if n <= groups), default=AT[0])
        if at not in self._drawn:
            drawn = replace(self._rivals, groups=float(at)).draw_errors(0)
            no_worse = float(np.median(np.quantile(drawn.max(1), LEVEL, axis=0)))
            worse = float(np.quantile(drawn.reshape(len(drawn), -1).max(1), LEVEL))
            drawn[:, range(drawn.shape[1]), range(drawn.shape[1])] = -np.inf  # luck puts none ahead of itself
            self._drawn[at] = _Limits(no_worse, worse, np.sort(drawn.max(1), axis=None))
        return self._drawn[at]

    def power(self, groups: float, seeds: int, deficit: float = 0.0) -> tuple[float, float]:
        """Chances that a depth truly `deficit` behind all others is shown no worse by the margin, and shown worse."""
        variance = (self._per_group + self._per_group_and_seed / seeds) / groups + self._per_seed / seeds
        error = math.sqrt(variance) or 1e-12
        limits = self._limits(groups)
        room = (self._margin - deficit) / error - limits.no_worse
        no_worse = np.searchsorted(limits.ahead, room) / len(limits.ahead)
        return float(no_worse), float(norm.cdf(deficit / error - limits.worse))

    def groups_needed(self, seeds: int, deficit: float = 0.0, power: float = POWER) -> int | None:
        """Groups in effect with which either is shown with that power; None where no number is enough.

        Then more seeds are what is missing, or the deficit is near the margin.
        """
        needed = float(AT[-1])
        for _ in range(2):  # the limits are those of the number that is asked for
            limits = self._limits(needed)
            wide = max(
                (self._margin - deficit) / (limits.no_worse + float(np.quantile(limits.ahead, power))),
                deficit / (limits.worse + float(norm.ppf(power))),
            )
            left = wide * abs(wide) - self._per_seed / seeds
            if left <= 0:
                return None
            needed = (self._per_group + self._per_group_and_seed / seeds) / left
        return math.ceil(needed)

    def seeds_needed(self, deficit: float = 0.0, power: float = POWER) -> int | None:
        """Seeds with which the groups that there are are enough; None where `MOST_SEEDS` are not."""
        for seeds in range(self._rivals.seeds, MOST_SEEDS + 1):
            needed = self.groups_needed(seeds, deficit, power)
            if needed is not None and needed <= self._rivals.groups:
                return seeds
        return None
