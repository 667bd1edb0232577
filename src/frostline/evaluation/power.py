"""What it takes to settle a comparison with the best: patients and seeds, from a pilot's variances or from assumptions.

A depth is settled when it is shown to be no worse by more than a margin, or to be worse (`best`). Both ask that the
half width of the bound and what chance may take away fit into the gap: (limit + quantile of the power) x standard error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from frostline.evaluation.best import Rivals
from frostline.evaluation.intervals import LEVEL

POWER = 0.8
MOST = 1_000_000  # more patients than anyone has


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
    """Of right and wrong between two networks on an image, 0..1."""
    seed_spread: float
    """Standard deviation of the accuracy between seeds, 0..1."""
    depths: int
    seeds: int

    def rivals(self, patients: int) -> Rivals:
        """Equal depths judged on so many patients."""
        one = self.accuracy * (1 - self.accuracy) * (1 + (self.images - 1) * self.correlation) / self.images
        shared = np.full((self.depths, self.depths), one * self.agreement / patients)
        return Rivals(
            means=np.full(self.depths, self.accuracy),
            of_groups=shared,
            of_seeds=self.seed_spread**2 + one * (1 - self.agreement) / patients,
            few=np.zeros_like(shared),
            groups=float(patients),
            seeds=self.seeds,
        )


def scaled(rivals: Rivals, groups: float, seeds: int | None = None) -> Rivals:
    """The same configurations on so many groups in effect, with so many seeds each.

    What seeds do not share has a part that groups make (of_seeds holds both): it is left as it is, so that more groups
    never promise more than more seeds could give.
    """
    factor = rivals.groups / groups
    return replace(
        rivals,
        of_groups=rivals.of_groups * factor,
        few=np.zeros_like(rivals.few),
        groups=groups,
        seeds=rivals.seeds if seeds is None else seeds,
    )


def limits(rivals: Rivals, seed: int = 0) -> tuple[float, float]:
    """How many standard errors a bound is away: of being no worse (one-sided, with the best), and of being worse."""
    drawn = rivals.draw_errors(seed)
    return float(np.median(np.quantile(drawn.max(1), LEVEL, axis=0))), float(
        np.quantile(drawn.reshape(len(drawn), -1).max(1), LEVEL)
    )


def power_to_show(rivals: Rivals, margin: float, deficit: float = 0.0) -> tuple[float, float]:
    """Chances that a depth truly `deficit` behind the best is shown no worse by more than `margin`, and is shown worse."""
    error = _typical_error(rivals)
    no_worse, worse = limits(rivals)
    return float(norm.cdf((margin - deficit) / error - no_worse)), float(norm.cdf(deficit / error - worse))


def groups_needed(rivals: Rivals, margin: float, deficit: float = 0.0, power: float = POWER) -> int | None:
    """Effective groups with which either is shown of such a depth with `power`; None where no number is enough.

    None too beyond `MOST`: then seeds, not patients, are what is missing, or the deficit is the margin itself.
    """

    def enough(groups: float) -> bool:
        return max(power_to_show(scaled(rivals, groups), margin, deficit)) >= power

    if not enough(MOST):
        return None
    low, high = 3.0, float(MOST)
    while high / low > 1.02:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return math.ceil(high)


def seeds_needed(
    rivals: Rivals, margin: float, deficit: float = 0.0, power: float = POWER, most: int = 50
) -> int | None:
    """Seeds of every depth with which the same groups are enough; None where `most` are not."""
    for seeds in range(rivals.seeds, most + 1):
        if max(power_to_show(scaled(rivals, rivals.groups, seeds), margin, deficit)) >= power:
            return seeds
    return None


def _typical_error(rivals: Rivals) -> float:
    errors = rivals.standard_errors
    return float(np.median(errors[~np.eye(len(errors), dtype=bool)]))
