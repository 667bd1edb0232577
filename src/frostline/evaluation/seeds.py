"""Metrics with their intervals, of one trained network or of one configuration trained with several seeds."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from frostline.evaluation.catalog import NamedMetric, named_metrics
from frostline.evaluation.intervals import (
    FEWEST,
    LEVEL,
    NARROW,
    NONE,
    Interval,
    bounded_interval,
    effective_groups,
    effective_number,
    mean_interval,
    number_groups,
    proportion_interval,
    real_interval,
    subtract,
)
from frostline.evaluation.jackknife import Jackknife
from frostline.evaluation.variance import seed_variance
from frostline.evaluation.weighted_metrics import WeightedMetrics
from frostline.task import Task


@dataclass(frozen=True)
class Repeats:
    """A metric over seeds: the value of each, and the intervals of their mean (NaN where there is none)."""

    values: tuple[float, ...]
    interval: Interval
    """At 95 %."""
    narrow: Interval = NONE
    """At 90 %, as two one-sided tests at 5 % take it."""
    why: str = ""
    """Why there is no interval, in a few words."""
    error: float = math.nan
    """Standard error of the mean, over groups and seeds; it is too small where few groups err."""

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.values))

    def minus(self, other: Repeats) -> tuple[float, Interval]:
        """Difference of the means and its 95 % interval, for other images: MOVER (Zou and Donner 2008)."""
        return subtract(self.mean, self.interval, other.mean, other.interval)


def repeat(
    runs: Sequence[np.ndarray], targets: np.ndarray, groups: np.ndarray, task: Task, metrics: Collection[str]
) -> dict[str, Repeats]:
    """`metrics` over `runs`, probabilities [N, C] of every seed on the same images of classes `targets` [N].

    Groups [N] of images are what varies with one seed; with several the seeds too, as readers of the same cases
    (Obuchowski and Rockette 1995; `variance.seed_variance`). How an interval is made of the variance: `intervals`.
    """
    named = {m.key: m for m in named_metrics(task)}
    needed = {*metrics} | {part for key in metrics for part in _parts(named[key], task)}
    jackknife = Jackknife([WeightedMetrics(p, targets, task, needed) for p in runs], groups)
    images = _Images(tuple(p.argmax(1) for p in runs), targets, number_groups(groups))
    found: dict[str, Repeats] = {}
    for key in sorted(needed, key=lambda key: (bool(_parts(named[key], task)), key)):  # parts come first
        values = tuple(float(v) for v in jackknife.values[key])
        why = named[key].metric.no_interval or _too_few(named[key], values, images, task, found)
        wide, narrow = (
            NONE if why else _interval(named[key], jackknife, images, task, found, level) for level in (LEVEL, NARROW)
        )
        if not why and wide[0] != wide[0]:
            why = "no group says how it varies"
        error = math.sqrt(seed_variance(jackknife.values[key], jackknife.covariance(key), 1.0).total)
        found[key] = Repeats(values, wide, narrow, why, error)
    return {key: found[key] for key in metrics}


@dataclass(frozen=True)
class _Images:
    predicted: tuple[np.ndarray, ...]
    targets: np.ndarray
    groups: np.ndarray


def _parts(named: NamedMetric, task: Task) -> list[str]:
    """The metrics that its interval is made of."""
    if named.metric.less is not None:
        return [named.metric.less]
    mean_of = named.metric.mean_of
    return [] if mean_of is None else [mean_of.format(**{"class": name}) for name in task.classes]


def _counted(named: NamedMetric, images: _Images) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of a share and every seed: groups of the images that count, and whether each is right."""
    share = named.metric.share
    assert share is not None
    masks = [share(predicted, images.targets, named.class_index) for predicted in images.predicted]
    return [(images.groups[counts], right[counts]) for right, counts in masks]


def _effective(named: NamedMetric, images: _Images) -> float:
    """Groups that a metric rests on, in effect: of the images that count, of a class or of the rest, or of all."""
    if named.metric.share is not None:
        return min(effective_groups(groups) for groups, _ in _counted(named, images))
    if named.metric.key.startswith("{"):
        inside = images.targets == named.class_index
        return min(effective_groups(images.groups[where]) for where in (inside, ~inside))
    return effective_groups(images.groups)


def _too_few(
    named: NamedMetric, values: Sequence[float], images: _Images, task: Task, found: Mapping[str, Repeats]
) -> str:
    if any(value != value for value in values):
        absent = [name for i, name in enumerate(task.classes) if not (images.targets == i).any()]
        return f"{absent[0]} does not occur" if absent else "it cannot be computed here"
    missing = [found[part].why for part in _parts(named, task) if found[part].why]
    if missing:
        return missing[0]
    if named.metric.key.startswith("{class}") or named.metric.key.endswith("/sensitivity"):
        of_class = effective_groups(images.groups[images.targets == named.class_index])
        if of_class < FEWEST:
            return f"{_down(of_class)} groups of {task.classes[named.class_index]} in effect, fewer than {FEWEST:g}"
    count = _effective(named, images)
    if count == 0:
        return f"{named.label}: no image counts for it"
    if count >= FEWEST:
        return ""
    what = f"{named.label} rests on " if named.metric.key.startswith("{") else ""
    return f"{what}{_down(count)} groups in effect, fewer than {FEWEST:g}"


def _down(count: float) -> str:
    """Rounded down: 4.96 is fewer than 5."""
    return f"{math.floor(10 * count) / 10:.1f}"


def _interval(
    named: NamedMetric, jackknife: Jackknife, images: _Images, task: Task, found: Mapping[str, Repeats], level: float
) -> Interval:
    metric, key = named.metric, named.key
    values = jackknife.values[key]
    mean = float(values.mean())
    if metric.mean_of is not None:
        parts = _parts(named, task)
        ends = np.array([found[p].interval if level == LEVEL else found[p].narrow for p in parts])
        means = np.array([found[p].mean for p in parts])
        return mean_interval(mean, means, ends, jackknife.correlation(parts), np.full(len(parts), 1 / len(parts)))
    if metric.less is not None:
        other = found[metric.less]
        low, high = other.interval if level == LEVEL else other.narrow
        return mean + other.mean - high, mean + other.mean - low
    if metric.share is not None and len(values) == 1:
        ((groups, right),) = _counted(named, images)
        return proportion_interval(right, groups, level)
    effective = _effective(named, images)
    single = metric.share is not None and all(len(right) == len(np.unique(g)) for g, right in _counted(named, images))
    if single:  # each image by itself: the variance is the binomial one, and nothing is estimated of groups
        count = jackknife.groups
        covariance = jackknife.covariance(key) * (count - 1) / count
        variance = seed_variance(values, covariance, math.inf)
    else:
        variance = seed_variance(values, jackknife.covariance(key), effective - 1)
    deviations = jackknife.deviations(key).mean(0)
    if metric.largest is None:
        return real_interval(mean, variance.total, min(variance.degrees, effective_number(deviations**2) - 1), level)
    known = math.inf if single else effective_number(deviations**2)
    if metric.share is not None and not single:
        known = _erring(_counted(named, images))
    low, high = bounded_interval(
        mean / metric.largest,
        variance.total / metric.largest**2,
        groups=effective,
        known=known,
        images=math.inf if metric.share is None else min(len(right) for _, right in _counted(named, images)),
        degrees=variance.degrees,
        level=level,
    )
    return low * metric.largest, high * metric.largest


def _erring(counted: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """Effective number of groups with a wrong image, or with a right one if fewer, over the seeds."""
    groups = np.concatenate([groups for groups, _ in counted])
    right = np.concatenate([right for _, right in counted]).astype(float)
    return min(effective_number(np.bincount(groups, weights=of)) for of in (right, 1 - right))
