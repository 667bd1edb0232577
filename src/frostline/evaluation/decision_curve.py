"""Decision curve: whether acting on a network does more good than acting on all patients, or on none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit
from scipy.stats import t as student

from frostline.evaluation.intervals import FEWEST, LEVEL, effective_groups, effective_number, number_groups
from frostline.evaluation.recalibration import SMALLEST

THRESHOLDS = np.linspace(0.01, 0.99, 99)


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit by threshold probability, all [T]: true positives an image, less false ones at the threshold's odds.

    Acting on none has net benefit 0 everywhere.
    """

    thresholds: np.ndarray
    model: np.ndarray
    lower: np.ndarray
    """Ends of 95 % intervals of `model`, each for its own threshold; NaN where there is no interval."""
    upper: np.ndarray
    treat_all: np.ndarray
    prevalence: float
    """At which all of it is, 0..1."""


def decision_curve(
    scores: np.ndarray,
    positive: np.ndarray,
    groups: np.ndarray,
    prevalence: float | None = None,
    thresholds: np.ndarray = THRESHOLDS,
) -> DecisionCurve:
    """Net benefit (Vickers and Elkin 2006) of calling positive the images whose `scores` [N] reach each threshold.

    `scores` are probabilities, `positive` bool [N], with and without positives; `groups` [N] go right or wrong
    together. Without `prevalence` that of the images holds, and its chance is in the intervals: linearised, variance
    between groups, t with Kish's effective number of groups. With it the probabilities are moved to it, as if nothing
    but the share of the class differed there (Elkan 2001).
    """
    weight = thresholds / (1 - thresholds)
    if prevalence is not None:
        odds = logit(np.clip(scores.astype(float), SMALLEST, 1 - SMALLEST))
        scores = expit(odds + logit(prevalence) - logit(positive.mean()))
    called = scores[:, None] >= thresholds
    hits, alarms = called & positive[:, None], called & ~positive[:, None]
    n, of_class = len(scores), positive.sum()
    share = of_class / n if prevalence is None else prevalence
    if prevalence is None:
        each = (hits - alarms * weight) / n
        model = each.sum(0)
        influence = each - model / n
    else:
        found, false = hits.sum(0) / of_class, alarms.sum(0) / (n - of_class)
        model = share * found - (1 - share) * weight * false
        of_found = (hits - found) * positive[:, None] / of_class
        of_false = (alarms - false) * ~positive[:, None] / (n - of_class)
        influence = share * of_found - (1 - share) * weight * of_false
    few = min(effective_groups(groups[positive]), effective_groups(groups[~positive])) < FEWEST
    half = np.full(len(thresholds), np.nan) if few else _half_width(influence, groups)
    half[(half == 0) & called.any(0)] = np.nan  # all or none of the called are right: nothing varies
    return DecisionCurve(thresholds, model, model - half, model + half, share - (1 - share) * weight, float(share))


def _half_width(influence: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Half an interval [T] of a sum, out of what each image adds to it, [N, T]."""
    group = number_groups(groups)
    sizes = np.bincount(group)
    count = len(sizes)
    freedom = effective_number(sizes) - 1
    of_group = np.zeros((count, influence.shape[1]))
    np.add.at(of_group, group, influence)
    half: np.ndarray = np.sqrt(count / (count - 1) * (of_group**2).sum(0)) * student.ppf(0.5 + LEVEL / 2, freedom)
    return half
