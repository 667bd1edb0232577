"""A study over freezing depths as a finding: which depths are shown to be worse, and how much chance chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from frostline.evaluation.intervals import DIGITS, LEVEL, Interval, draw_seeds, resample, wilson
from frostline.evaluation.metrics import WeightedMetrics
from frostline.evaluation.seeds import repeat
from frostline.task import Task
from frostline.text import percent


@dataclass(frozen=True)
class Depth:
    """The runs of one depth."""

    freeze: int
    values: tuple[float, ...]
    """The metric of every seed."""
    mean: float
    lower: float
    upper: float
    """95 % interval of the mean, over seeds and over groups of images."""
    deficit: float
    """Mean of the highest depth minus this one."""
    deficit_lower: float
    deficit_upper: float
    """Interval of that; 95 % for all pairs of depths together."""
    clearly_lower: bool
    """Whether this depth is worse than the highest, as far as the interval can tell."""


@dataclass(frozen=True)
class Curve:
    """Depths in order; the one with the highest mean; and what it would have without having been chosen."""

    depths: tuple[Depth, ...]
    highest: Depth
    corrected: float
    corrected_interval: Interval
    images: int
    groups: int

    @property
    def seeds(self) -> int:
        """Seeds that every depth has at least; with one nothing is known of how much seeds move a score."""
        return min(len(d.values) for d in self.depths)

    @property
    def not_excluded(self) -> list[Depth]:
        """Depths that cannot be told from the highest, itself not among them."""
        return [d for d in self.depths if not d.clearly_lower and d is not self.highest]

    def in_words(self) -> list[str]:
        """What the curve shows, and how much too high the chosen depth's score is, a sentence each."""
        h, others = self.highest, len(self.depths) - 1
        highest = (
            f"the highest mean validation score is at {h.freeze} frozen layers, {percent(h.mean)} "
            f"({percent(h.lower)} to {percent(h.upper)}; {self.seeds} seed{'s' if self.seeds > 1 else ''})"
        )
        which = ", ".join(str(d.freeze) for d in self.not_excluded)
        if self.seeds < 2:
            words = [f"{highest}; with one seed a depth nothing is known of how much chance moves it."]
        elif len(self.not_excluded) == others:
            words = [f"{highest}, but none of the {others} other depths tried is shown to be worse."]
        elif self.not_excluded:
            words = [
                f"{highest}, but {len(self.not_excluded)} of {others} other depths are not shown to be worse: {which}."
            ]
        else:
            words = [f"{highest}: better than each of the {others} other depths tried."]
        if self.corrected < h.mean:
            low, high = self.corrected_interval
            words.append(
                f"Chosen as the highest of {others + 1}, {percent(h.mean)} is too high: on images left out of choosing "
                f"it is {percent(self.corrected)} ({percent(low)} to {percent(high)}), and they still chose the epoch."
            )
        return words


def freezing_curve(
    runs: Mapping[int, Sequence[np.ndarray]],
    targets: np.ndarray,
    groups: np.ndarray,
    task: Task,
    metric: str = "acc",
    seed: int = 0,
) -> Curve:
    """Judge `runs`, by depth the probabilities [N, C] of every seed on the same images of classes `targets` [N].

    The highest is that of the highest mean, of equal ones the first in `runs`; depths with fewer seeds than others do
    not compete. Seeds and groups of images are resampled together, the same images for all depths. Which depth is the
    highest is chosen by the same data, so the intervals of differences hold for all pairs at once (bootstrap of the
    largest studentised difference: Westfall and Young 1993). The corrected value is what the depth chosen on the drawn
    groups has on those that were not drawn (BBC: Tsamardinos et al. 2018).
    """
    order, tried = sorted(runs), [*runs]
    evaluations = [[WeightedMetrics(p, targets, task, [metric]) for p in runs[depth]] for depth in order]
    repeated = [repeat(runs[depth], targets, groups, task, [metric])[metric] for depth in order]
    means = np.array([r.mean for r in repeated])
    most = max(len(r.values) for r in repeated)

    def rank(i: int) -> tuple[bool, float, int]:
        return len(repeated[i].values) == most, round(repeated[i].mean, DIGITS), -tried.index(order[i])

    top = max(range(len(order)), key=rank)

    rng = np.random.default_rng(seed)
    drawn, chosen_elsewhere = [], []
    for counts in resample(groups, seed=seed):
        left_out = (counts == 0).astype(float)
        left_out[left_out.sum(1) == 0] = 1  # with a handful of groups all may be drawn
        inside = np.stack([draw_seeds(np.stack([e(counts)[metric] for e in seeds]), rng) for seeds in evaluations])
        outside = np.stack([np.mean([e(left_out)[metric] for e in seeds], axis=0) for seeds in evaluations])
        drawn.append(inside)
        chosen_elsewhere.append(outside[inside.argmax(0), np.arange(len(counts))])
    samples, elsewhere = np.concatenate(drawn, axis=1), np.concatenate(chosen_elsewhere)

    ends = _differences(samples, means, top)
    units = len(np.unique(groups))
    depths = []
    for i, depth in enumerate(order):
        lower, upper = repeated[i].interval
        deficit = float(means[top] - means[i])
        depths.append(
            Depth(
                freeze=depth,
                values=repeated[i].values,
                mean=repeated[i].mean,
                lower=lower,
                upper=upper,
                deficit=deficit,
                deficit_lower=deficit - ends[i],
                deficit_upper=deficit + ends[i],
                clearly_lower=bool(deficit > ends[i]),
            )
        )
    return Curve(
        depths=tuple(depths),
        highest=depths[top],
        corrected=float(np.nanmean(elsewhere)),
        corrected_interval=_ends(elsewhere, float(np.nanmean(elsewhere)), units),
        images=len(targets),
        groups=units,
    )


def _differences(samples: np.ndarray, means: np.ndarray, top: int) -> np.ndarray:
    """Half widths [D] of the intervals of `top` minus each depth, of draws [D, B], for all pairs of depths at once."""
    centred = samples - means[:, None]
    largest = np.zeros(samples.shape[1])
    for i in range(len(centred) - 1):
        pairs = centred[i + 1 :] - centred[i]
        spread = pairs.std(1, keepdims=True)
        largest = np.maximum(largest, (np.abs(pairs) / np.where(spread > 0, spread, np.inf)).max(0))
    half: np.ndarray = float(np.nanquantile(largest, LEVEL)) * (centred[top] - centred).std(1)
    return half


def _ends(draws: np.ndarray, mean: float, units: int) -> Interval:
    """95 % percentiles; where nothing varies, all or none being right, every group counts as one image."""
    low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return (float(low), float(high)) if low < high else wilson(mean * units, units)
