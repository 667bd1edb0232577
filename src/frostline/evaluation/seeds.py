"""Metrics with their intervals, of one trained network or of one configuration trained with several seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
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
    erring_groups,
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

    def at(self, level: float) -> Interval:
        """The interval at `LEVEL` or at `NARROW`."""
        return self.interval if level == LEVEL else self.narrow

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
        wide = narrow = NONE
        if not why:
            interval = _interval(named[key], jackknife, images, task, found)
            wide, narrow = interval(LEVEL), interval(NARROW)
            why = "no group says how it varies" if wide[0] != wide[0] else ""
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
    named: NamedMetric, jackknife: Jackknife, images: _Images, task: Task, found: Mapping[str, Repeats]
) -> Callable[[float], Interval]:
    """The interval of a metric by its level; what does not depend on that is computed once."""
    metric, key = named.metric, named.key
    values = jackknife.values[key]
    mean = float(values.mean())
    parts = [found[part] for part in _parts(named, task)]
    if metric.mean_of is not None:
        means, weights = np.array([p.mean for p in parts]), np.full(len(parts), 1 / len(parts))
        correlation = jackknife.correlation(_parts(named, task))
        return lambda level: mean_interval(mean, means, np.array([p.at(level) for p in parts]), correlation, weights)
    if metric.less is not None:
        (other,) = parts
        return lambda level: (mean + other.mean - other.at(level)[1], mean + other.mean - other.at(level)[0])
    counted = [] if metric.share is None else _counted(named, images)
    if len(counted) == 1:
        ((groups, right),) = counted
        return lambda level: proportion_interval(right, groups, level)
    effective, deviations = _effective(named, images), jackknife.deviations(key).mean(0)
    covariance, degrees, known = jackknife.covariance(key), effective - 1, effective_number(deviations**2)
    if counted:
        known = erring_groups(*(np.concatenate(column) for column in zip(*((r, g) for g, r in counted), strict=True)))
    if counted and all(len(right) == len(np.unique(groups)) for groups, right in counted):
        # each image by itself: the variance is the binomial one, and nothing is estimated of groups
        covariance, degrees, known = covariance * (1 - 1 / jackknife.groups), math.inf, math.inf
    variance = seed_variance(values, covariance, degrees)
    if metric.largest is None:
        freedom = min(variance.degrees, known - 1)
        return lambda level: real_interval(mean, variance.total, freedom, level)
    largest, most = metric.largest, min((len(right) for _, right in counted), default=math.inf)

    def bounded(level: float) -> Interval:
        low, high = bounded_interval(
            mean / largest,
            variance.total / largest**2,
            groups=effective,
            known=known,
            images=most,
            degrees=variance.degrees,
            level=level,
        )
        return low * largest, high * largest

    return bounded
