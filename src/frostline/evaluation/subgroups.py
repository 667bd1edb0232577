"""Subgroups of the images by a column of a table: how good each is, and whether they are shown to differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import f as f_ratio
from scipy.stats import norm
from statsmodels.stats.multitest import multipletests

from frostline.evaluation.intervals import LEVEL, effective_groups
from frostline.evaluation.seeds import Repeats, repeat
from frostline.task import Task

MOST_VALUES = 6  # of numbers, beyond which a column is cut in thirds


@dataclass(frozen=True)
class Subgroup:
    """The images of one value of a column."""

    value: str
    images: int
    groups: int
    metrics: dict[str, Repeats]
    """By key of the catalogue."""


@dataclass(frozen=True)
class Interaction:
    """Whether a metric differs between the subgroups of a column."""

    key: str
    tested: int
    """Number of subgroups that have an interval."""
    p: float
    """NaN with fewer than two of them."""
    corrected: float = math.nan
    """After Holm's correction over all columns and metrics."""

    @property
    def shown(self) -> bool:
        """Whether a difference is shown; where it is not, that does not show that there is none."""
        return self.corrected < 1 - LEVEL


@dataclass(frozen=True)
class Subgroups:
    """One column of a table."""

    column: str
    members: tuple[Subgroup, ...]
    unknown: int
    """Number of images without a value."""
    interactions: tuple[Interaction, ...]


def subgroups(
    runs: Sequence[np.ndarray],
    targets: np.ndarray,
    groups: np.ndarray,
    task: Task,
    columns: Mapping[str, Sequence[str]],
) -> list[Subgroups]:
    """Accuracy, and sensitivity of the positive class, by each of `columns`: the value of every image, "" if unknown.

    `runs` are probabilities [N, C] of every seed on images of classes `targets` [N] in `groups` [N]. Tested is whether
    the subgroups' estimates differ by more than their standard errors let expect (`interaction`; Altman and Bland
    2003), with Holm's correction over columns and metrics.
    """
    keys = ["acc"] + ([] if task.positive is None else [f"{task.positive}/sensitivity"])
    found = []
    for column, values in columns.items():
        levels, names = cut(values)
        members = []
        for level, name in enumerate(names):
            here = levels == level
            metrics = repeat([p[here] for p in runs], targets[here], groups[here], task, keys)
            members.append(Subgroup(name, int(here.sum()), len(np.unique(groups[here])), metrics))
        worth = [effective_groups(groups[levels == i]) for i in range(len(names))]
        tests = tuple(interaction(key, [m.metrics[key] for m in members], worth) for key in keys)
        found.append(Subgroups(column, tuple(members), int((levels < 0).sum()), tests))
    return _correct(found)


def cut(values: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Subgroup of every value, int [N], -1 for "", and names: values by name, numbers in order, many numbers in thirds.

    Thirds of the images, as near as equal numbers allow.
    """
    known = sorted({v for v in values if v})
    try:
        numbers = {v: float(v) for v in known}
    except ValueError:
        numbers = {}
    if not numbers or not all(map(math.isfinite, numbers.values())):
        return np.array([known.index(v) if v else -1 for v in values], int), known
    if len(set(numbers.values())) <= MOST_VALUES:
        known.sort(key=numbers.__getitem__)
        return np.array([known.index(v) if v else -1 for v in values], int), known
    there = np.array([numbers[v] for v in values if v])
    low, high = np.quantile(there, [1 / 3, 2 / 3], method="higher")
    levels = [-1 if not v else int(numbers[v] > low) + int(numbers[v] > high) for v in values]
    names = [f"up to {low:g}", f"above {low:g}, up to {high:g}", f"above {high:g}"]
    there_are = [i for i in range(3) if i in levels]
    return np.array([there_are.index(i) if i >= 0 else -1 for i in levels], int), [names[i] for i in there_are]


def interaction(key: str, estimates: Sequence[Repeats], worth: Sequence[float]) -> Interaction:
    """Test of one metric: Welch's F (1951) of estimates by their standard errors; two are told by their difference.

    `worth` is the number of groups of equal size that the images of each are worth (Kish 1965): how well its standard
    error is known. Where all or none are right it is a fourth of the interval or so (Altman and Bland 2003). A
    chi-square test errs more.
    """
    width = 2 * float(norm.ppf(0.5 + LEVEL / 2))
    every = [
        (e.mean, e.error if e.error > 0 else (e.interval[1] - e.interval[0]) / width, max(1.0, n - 1))
        for e, n in zip(estimates, worth, strict=True)
        if e.interval[0] == e.interval[0]
    ]
    known = [(mean, error, freedom) for mean, error, freedom in every if error > 0]  # NaN is not
    k = len(known)
    if k < 2:
        return Interaction(key, k, math.nan)
    means, errors, freedoms = np.array(known).T
    weights = errors**-2.0
    pooled = np.average(means, weights=weights)
    q = float((weights * (means - pooled) ** 2).sum())
    unsure = float(((1 - weights / weights.sum()) ** 2 / freedoms).sum())
    statistic = q / (k - 1) / (1 + 2 * (k - 2) / (k**2 - 1) * unsure)
    return Interaction(key, k, float(f_ratio.sf(statistic, k - 1, (k**2 - 1) / (3 * unsure))))


def _correct(found: Sequence[Subgroups]) -> list[Subgroups]:
    """With Holm's correction over all tests that could be done."""
    done = [test.p for of in found for test in of.interactions if test.p == test.p]
    corrected = iter(multipletests(done, method="holm")[1] if done else ())
    return [
        replace(
            of,
            interactions=tuple(
                replace(test, corrected=float(next(corrected))) if test.p == test.p else test
                for test in of.interactions
            ),
        )
        for of in found
    ]
