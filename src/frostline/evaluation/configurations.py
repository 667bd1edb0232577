"""Configurations side by side: seeds and groups of images vary, so that another training would be judged alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from frostline.evaluation.catalog import labels
from frostline.evaluation.comparison import Difference
from frostline.evaluation.intervals import LEVEL, NONE, effective_groups, effective_number, real_interval
from frostline.evaluation.jackknife import Jackknife
from frostline.evaluation.weighted_metrics import WeightedMetrics
from frostline.task import Task


@dataclass(frozen=True)
class ConfigurationPair:
    """Two configurations, by their place, on the same images."""

    first: int
    second: int
    differences: dict[str, Difference]
    """Of the metrics that the catalogue compares; at 95 % for all pairs together (Bonferroni)."""

    @property
    def shown(self) -> bool:
        """Whether a difference in accuracy is shown."""
        return self.differences["acc"].excludes_zero


def compare_configurations(
    seeds: Sequence[Sequence[np.ndarray]], targets: np.ndarray, groups: np.ndarray, task: Task
) -> list[ConfigurationPair]:
    """Compare every two configurations: of each `seeds` the probabilities [N, C], of the same images [N].

    The difference of the means over seeds varies with the groups, paired, and with the seeds of both, each trained by
    itself (Obuchowski and Rockette 1995; the mean square between seeds is pooled over the two). Degrees of freedom as
    Satterthwaite (1946). With one seed on a side there is no interval: nothing is known of another training.
    """
    pairs = list(combinations(range(len(seeds)), 2))
    compared = labels(task, "difference")
    every = [p for of_one in seeds for p in of_one]
    jackknife = Jackknife([WeightedMetrics(p, targets, task, compared) for p in every], groups)
    ends = np.cumsum([0, *(len(of_one) for of_one in seeds)])
    where = [np.arange(ends[i], ends[i + 1]) for i in range(len(seeds))]
    most = effective_groups(groups) - 1
    level = 1 - (1 - LEVEL) / len(pairs)

    def differ(a: int, b: int, name: str) -> Difference:
        values, deviations = jackknife.values[name], jackknife.deviations(name)
        value = float(values[where[a]].mean() - values[where[b]].mean())
        count = [len(where[a]), len(where[b])]
        if min(count) < 2:
            return Difference(value, *NONE)
        moved = deviations[where[a]].mean(0) - deviations[where[b]].mean(0)
        within, own = 0.0, 0.0
        for of_one in (where[a], where[b]):
            within += float(((values[of_one] - values[of_one].mean()) ** 2).sum())
            own += float(((deviations[of_one] - deviations[of_one].mean(0)) ** 2).sum())
        degrees, shares = sum(count) - 2, 1 / count[0] + 1 / count[1]
        of_seeds = within / degrees * shares
        of_groups = float((moved**2).sum())
        shared = max(0.0, of_groups - min(own, within) / degrees * shares)
        known = min(effective_number(moved**2) - 1, most)
        if of_seeds + shared <= of_groups:
            low, high = real_interval(value, of_groups, known, level)
        else:
            total = of_seeds + shared
            freedom = total**2 / (of_seeds**2 / degrees + shared**2 / max(known, 1.0))
            low, high = real_interval(value, total, min(freedom, most), level)
        return Difference(value, max(low, -1.0), min(high, 1.0)) if low == low else Difference(value, *NONE)

    return [ConfigurationPair(a, b, {name: differ(a, b, name) for name in compared}) for a, b in pairs]
