"""How much too high the highest of several is, for having been chosen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from frostline.evaluation.intervals import NONE, Interval, number_groups
from frostline.evaluation.seeds import Repeats
from frostline.evaluation.weighted_metrics import WeightedMetrics
from frostline.task import Task

REPEATS = 2000
FEWEST_DRAWS = 100  # that say something; with fewer there is no corrected value
CHUNK = 250  # repeats at a time: weights of 10,000 images take 20 MB


def resample(groups: np.ndarray, repeats: int = REPEATS, seed: int = 0) -> Iterator[np.ndarray]:
    """How often each image is drawn when whole groups are drawn with replacement: chunks of counts [repeats, N]."""
    group = number_groups(groups)
    count = int(group.max()) + 1
    rng = np.random.default_rng(seed)
    for start in range(0, repeats, CHUNK):
        yield rng.multinomial(count, np.full(count, 1 / count), size=min(CHUNK, repeats - start))[:, group]


def correct_highest(
    runs: Mapping[int, Sequence[np.ndarray]],
    highest: Repeats,
    targets: np.ndarray,
    groups: np.ndarray,
    task: Task,
    metric: str,
    seed: int = 0,
) -> tuple[float, Interval]:
    """What the `highest` mean of `runs` [N, C] a seed would be had it not been chosen, and its interval moved with it.

    Groups and seeds are drawn with replacement, and the highest on them is scored on the groups and the seeds that were
    not drawn: the mean of those scores (BBC, Tsamardinos et al. 2018, with the seeds left out too; with one seed the
    groups alone).
    """
    evaluations = [[WeightedMetrics(p, targets, task, [metric]) for p in of_one] for of_one in runs.values()]
    seeds = len(highest.values)
    rng = np.random.default_rng(seed)
    scores = []
    for counts in resample(groups, seed=seed):
        left_out = (counts == 0).astype(float)
        left_out[left_out.sum(1) == 0] = np.nan  # with a handful of groups all may be drawn
        drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=(len(evaluations), len(counts)))  # [T, B, S]
        inside = np.stack([np.stack([e(counts)[metric] for e in of_one], 1) for of_one in evaluations])
        outside = np.stack([np.stack([e(left_out)[metric] for e in of_one], 1) for of_one in evaluations])
        score = (inside * drawn).sum(2) / seeds
        kept = (drawn == 0).astype(float) if seeds > 1 else np.ones_like(inside)
        with np.errstate(invalid="ignore"):
            elsewhere = (outside * kept).sum(2) / kept.sum(2)  # NaN where every seed was drawn
        chosen = elsewhere[score.argmax(0), np.arange(len(counts))]
        scores.append(chosen[_both_have_all(counts, left_out, targets)])
    known = np.concatenate(scores)
    known = known[~np.isnan(known)]
    if len(known) < FEWEST_DRAWS:
        return math.nan, NONE
    corrected = min(float(known.mean()), highest.mean)
    low, high = (end - (highest.mean - corrected) for end in highest.interval)
    return corrected, (low if low != low else max(0.0, low), high)


def _both_have_all(counts: np.ndarray, left_out: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Of which draws both parts have images of every class that occurs, bool [B]: else they are scored otherwise."""
    of_class = np.eye(int(targets.max()) + 1)[targets]
    of_class = of_class[:, of_class.any(0)]
    both: np.ndarray = (counts @ of_class > 0).all(1) & (left_out @ of_class > 0).all(1)
    return both
