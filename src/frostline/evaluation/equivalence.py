"""Whether two values are shown to be the same within a margin, or different, and what chance there was to show it.

That no difference is found shows nothing: few images find none. To be the same is a claim with a test of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import norm

from frostline.evaluation.intervals import NARROW, Interval, subtract
from frostline.evaluation.seeds import Repeats


@dataclass(frozen=True)
class Equivalence:
    """A difference, first less second, against a margin that was set before; all in the unit of the metric."""

    difference: float
    interval: Interval
    """95 % interval of it; NaN where one of the two has none."""
    narrow: Interval
    """90 % interval of it: inside the margin when two one-sided tests at 5 % both reject (Schuirmann 1987)."""
    margin: float

    @property
    def known(self) -> bool:
        """Whether there are intervals to judge by."""
        return not any(math.isnan(end) for end in (*self.interval, *self.narrow))

    @property
    def shown_equivalent(self) -> bool:
        """Whether the difference is shown to be within the margin: wrongly in at most 5 % where it is not."""
        return self.narrow[0] >= -self.margin and self.narrow[1] <= self.margin

    @property
    def shown_different(self) -> bool:
        """Whether a difference is shown, however small."""
        return self.interval[0] > 0 or self.interval[1] < 0

    @property
    def power(self) -> float:
        """Chance, 0..1, that such data show equivalence when there is no difference; NaN without an interval.

        By the width of the interval: the difference is taken as normal around 0 with the standard error that the
        90 % interval shows, and the interval around each as wide as this one (Phillips 1990, with the error as known).
        """
        if not self.known:
            return math.nan
        below, above = self.difference - self.narrow[0], self.narrow[1] - self.difference
        error = (below + above) / (2 * float(norm.ppf(0.5 + NARROW / 2)))
        if error == 0:
            return 1.0
        return max(0.0, float(norm.cdf((self.margin - above) / error) - norm.cdf((below - self.margin) / error)))


def compare_to_margin(first: Repeats, second: Repeats, margin: float) -> Equivalence:
    """`first` less `second` against `margin`, for values on different images: MOVER (Zou and Donner 2008)."""
    difference, interval = first.minus(second)
    _, narrow = subtract(first.mean, first.narrow, second.mean, second.narrow)
    return Equivalence(difference, interval, narrow, margin)
