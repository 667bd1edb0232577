"""Referring the least sure images to a person: what is left to the network, and how often it is wrong on that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frostline.evaluation.intervals import Interval, proportion_interval

SHARES = (0.0, 0.1, 0.2, 0.3, 0.5)


@dataclass(frozen=True)
class Referral:
    """The least sure images put aside, by a limit that was chosen on other images."""

    wanted: float
    """Share of the images that chose the limit which lie below it, 0..1."""
    limit: float
    """Largest probability of an image below which it is referred."""
    referred: float
    """Share of the images, 0..1."""
    risk: float
    """Share of the rest that is wrong; NaN where nothing is left."""
    interval: Interval
    """95 % interval of `risk`, by groups."""
    left: int
    """Number of images that are not referred."""


def refer(
    chosen_on: np.ndarray, probabilities: np.ndarray, right: np.ndarray, groups: np.ndarray, wanted: float
) -> Referral:
    """Refer the images of `probabilities` [N, C] below the limit that `wanted` of `chosen_on` [M, C] lie below.

    `right` bool [N]; `groups` [N] go right or wrong together. Images are sure by their largest probability (softmax
    response, Geifman and El-Yaniv 2017).
    """
    limit = float(np.quantile(chosen_on.max(1), wanted, method="higher")) if wanted else 0.0
    kept = probabilities.max(1) >= limit
    low, high = proportion_interval(right[kept], groups[kept])
    risk = 1 - float(right[kept].mean()) if kept.any() else float("nan")
    return Referral(wanted, limit, 1 - float(kept.mean()), risk, (1 - high, 1 - low), int(kept.sum()))


def risk_curve(probabilities: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of the images that the network keeps [K], surest first, and the share of these that is wrong [K].

    Images as sure as each other are kept or referred together.
    """
    sure = probabilities.max(1)
    order = np.argsort(-sure, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(sure[order])), len(order) - 1)
    wrong = np.cumsum(~right[order])[ends]
    return (ends + 1) / len(order), wrong / (ends + 1)
