"""A threshold that keeps a sensitivity with a confidence: a one-sided tolerance bound (Wilks 1941), by groups."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc
from scipy.stats import norm, rankdata

from frostline.evaluation.intervals import number_groups


@dataclass(frozen=True)
class Demand:
    """What a threshold must find in validation, so that it keeps a sensitivity elsewhere."""

    share: float
    """Of the positive images, 0..1."""
    kept: float
    """Share of repetitions in which such a threshold keeps the wanted sensitivity, at least, 0..1."""


def intraclass_correlation(scores: np.ndarray, groups: np.ndarray) -> float:
    """Correlation of the scores [N] of two images of one of `groups` [N], 0..1, by one-way analysis of variance.

    Scores are taken by rank (normal scores): how they are spread does not matter. 0 where no group has two images, 1
    where there is one group alone.
    """
    group = number_groups(groups)
    sizes = np.bincount(group)
    total, count = len(scores), len(sizes)
    if count == total or count == 1:
        return float(count < total)
    values = norm.ppf(rankdata(scores) / (total + 1))
    means = np.bincount(group, weights=values) / sizes
    between = float((sizes * (means - values.mean()) ** 2).sum()) / (count - 1)
    within = float(((values - means[group]) ** 2).sum()) / (total - count)
    size = (total - float((sizes**2).sum()) / total) / (count - 1)
    spread = between + (size - 1) * within
    return min(1.0, max(0.0, (between - within) / spread)) if spread > 0 else 1.0


def independent_images(scores: np.ndarray, groups: np.ndarray) -> float:
    """How many independent images say as much as N with these scores [N] in `groups` [N] (design effect, Kish 1965).

    At most one a group: few groups that look unlike may be so by chance, and what is new elsewhere are patients.
    """
    if not len(scores):
        return 0.0
    sizes = np.unique(groups, return_counts=True)[1]
    of_an_image = float((sizes**2).sum()) / len(scores)  # mean size of the group that an image is in
    return min(len(sizes), len(scores) / (1 + (of_an_image - 1) * intraclass_correlation(scores, groups)))


def demand(sensitivity: float, confidence: float, effective: float) -> Demand:
    """The share of `effective` independent positive images to find, so that `sensitivity` is kept with `confidence`.

    With the threshold at the k-th lowest score of n the true sensitivity is at least s with the probability that of n
    images, each missed with probability 1 - s, at least k are missed. Where even the lowest score does not reach
    `confidence`, all are to be found, and `kept` says how far that goes.
    """

    def kept(k: int) -> float:
        return float(betainc(k, effective - k + 1, 1 - sensitivity)) if k <= effective else 0.0

    k = 1
    while kept(k + 1) >= confidence:
        k += 1
    return Demand(1 - (k - 1) / effective if effective else 1.0, kept(k))


def needed_number(sensitivity: float, confidence: float) -> int:
    """Independent positive images that it takes until any threshold keeps `sensitivity` below 1 with `confidence`."""
    return math.ceil(math.log(1 - confidence) / math.log(sensitivity) - 1e-9)
