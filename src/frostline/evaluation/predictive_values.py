"""Positive and negative predictive value at a prevalence that is not that of the images."""

from __future__ import annotations

import math

from frostline.evaluation.intervals import NONE, Interval

Estimate = tuple[float, Interval]
"""A value and its interval."""


def predictive_values(sensitivity: Estimate, specificity: Estimate, prevalence: float) -> tuple[Estimate, Estimate]:
    """PPV and NPV at `prevalence`, 0 < p < 1, by Bayes' theorem, with their intervals.

    Both follow from a likelihood ratio alone (Mercaldo et al. 2007), whose interval comes out of those of sensitivity
    and specificity: so it counts groups as they do, and holds at 0 and 1. NaN where an argument is.
    """
    odds = prevalence / (1 - prevalence)
    up = _ratio(sensitivity, _complement(specificity))
    down = _ratio(_complement(sensitivity), specificity)
    ppv = _share(odds, up[0]), (_share(odds, up[1][0]), _share(odds, up[1][1]))
    npv = 1 - _share(odds, down[0]), (1 - _share(odds, down[1][1]), 1 - _share(odds, down[1][0]))
    return ppv, npv


def _complement(share: Estimate) -> Estimate:
    value, (low, high) = share
    return 1 - value, (1 - high, 1 - low)


def _share(odds: float, ratio: float) -> float:
    return 1.0 if ratio == math.inf else odds * ratio / (1 + odds * ratio)


def _ratio(above: Estimate, below: Estimate) -> Estimate:
    """Ratio of two independent shares; its interval out of theirs: MOVER-R (Donner and Zou 2012, Newcombe 2016)."""
    (a, (a_low, a_high)), (b, (b_low, b_high)) = above, below
    if math.isnan(a) or math.isnan(b) or a == b == 0:
        return math.nan, NONE
    if any(math.isnan(x) for x in (a_low, a_high, b_low, b_high)):
        return (a / b if b > 0 else math.inf), NONE
    product = a * b
    for_low, for_high = a_low * (2 * a - a_low), a_high * (2 * a - a_high)
    root = math.sqrt(max(0.0, product**2 - for_low * b_high * (2 * b - b_high)))
    low = for_low / (product + root) if product + root > 0 else 0.0
    divisor = b_low * (2 * b - b_low)
    root = math.sqrt(max(0.0, product**2 - for_high * divisor))
    high = (product + root) / divisor if divisor > 0 else math.inf
    return (a / b if b > 0 else math.inf), (low, high)
