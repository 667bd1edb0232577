"""A study over freezing depths as a finding: which are shown worse, which no worse, and how much chance chose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from frostline.evaluation.best import Rivals, at_most_behind, behind_at_least
from frostline.evaluation.flattery import correct_highest
from frostline.evaluation.intervals import DIGITS, LEVEL, Interval, effective_groups
from frostline.evaluation.jackknife import Jackknife
from frostline.evaluation.power import Planner, Takes
from frostline.evaluation.seeds import repeat
from frostline.evaluation.weighted_metrics import WeightedMetrics
from frostline.task import Task
from frostline.text import interval, percent

Verdict = Literal["worse", "no worse", "open"]


class Saved(NamedTuple):
    """What freezing saves of training, shares 0..1."""

    multiply_adds: float
    """Of a training step, forward and backward."""
    parameters: float
    """Not trained."""


class Raced(NamedTuple):
    """What a race has shown (`race`)."""

    level: float
    """At which each of its looks judges."""
    left: Mapping[int, tuple[int, float]]
    """By depth that was shown worse: trainings until then, and how far it is behind the best at least, 0..1."""
    decided: bool
    """Whether it ended because all that did not leave are shown no worse."""


@dataclass(frozen=True)
class Depth:
    """The runs of one depth."""

    freeze: int
    values: tuple[float, ...]
    """The metric of every seed."""
    mean: float
    interval: Interval
    """95 % interval of the mean, over seeds and over groups of images."""
    deficit: float
    """Highest mean minus this one."""
    behind: Interval
    """At least and at most how far this depth is behind the best one, whichever that is; each end holds for all depths
    together in 95 % of studies."""
    worse: bool
    """Whether it is shown to be behind the best, however little."""
    no_worse: bool
    """Whether it is shown to be at most the margin behind the best; both may be."""
    saved: Saved | None

    @property
    def verdict(self) -> Verdict:
        """`no worse` where a loss beyond the margin is excluded, else `worse` where one is shown, else `open`."""
        return "no worse" if self.no_worse else "worse" if self.worse else "open"


@dataclass(frozen=True)
class Curve:
    """Depths in order; the one with the highest mean; and what it would have without having been chosen."""

    depths: tuple[Depth, ...]
    highest: Depth
    margin: float
    """How far behind still counts as no worse, set before, 0..1."""
    corrected: float
    corrected_interval: Interval
    images: int
    groups: int
    rivals: Rivals | None
    """Means and variances of the depths; None where they cannot be told, and `why`."""
    why: str = ""
    raced: Raced | None = None
    """The race that the depths were in; its verdicts stand."""
    chance: float = math.nan
    """What always answering one class would score; NaN for a metric that is not known to have such a level."""

    @property
    def seeds(self) -> int:
        """Seeds of the depths that compete; with one nothing is known of how much seeds move a score."""
        return len(self.highest.values)

    @property
    def competing(self) -> int:
        """Depths with as many seeds as any."""
        return sum(len(d.values) == self.seeds for d in self.depths)

    def of(self, verdict: Verdict) -> list[Depth]:
        """Depths with this verdict."""
        return [d for d in self.depths if d.verdict == verdict]

    @property
    def deepest(self) -> Depth | None:
        """The deepest depth that is shown to be no worse than the best."""
        return max(self.of("no worse"), key=lambda d: d.freeze, default=None)

    def takes(self) -> dict[int, Takes]:
        """By open depth what would settle it with 80 % power, if it is as far behind as it looks (`power`)."""
        competing = [d for d in self.of("open") if d.behind[0] == d.behind[0]]
        if not competing or self.rivals is None or not self.rivals.variances.any():  # all are right on the same images
            return {}
        planner, size = Planner(self.rivals, self.margin), self.groups / self.rivals.groups
        found = {}
        for d in competing:
            groups = planner.groups_needed(self.seeds, d.deficit)
            found[d.freeze] = Takes(
                None if groups is None else math.ceil(size * groups), planner.seeds_needed(d.deficit)
            )
        return found

    def in_words(self) -> list[str]:
        """What the curve shows, and how much too high the chosen depth's score is, a sentence each."""
        h = self.highest
        words = (
            [self._tie()]
            if self._tie()
            else [
                f"the highest mean validation score is at {h.freeze} frozen layers, {percent(h.mean)} "
                f"({interval(*h.interval)}; {self.seeds} seed{'s' if self.seeds > 1 else ''})."
            ]
        )
        if h.mean <= self.chance or h.interval[0] <= self.chance:
            words[0] += (
                f" No depth is shown to be above chance: always answering the same class would score "
                f"{percent(self.chance)}."
            )
        if self.seeds < 2 and self.raced is None:
            return [
                f"{words[0]} With one seed a depth nothing is known of how much chance moves it: 'seed=range(3)', or "
                "--repeats 3 of frostline study."
            ]
        judged = self.rivals is not None or (self.raced is not None and (self.raced.left or self.raced.decided))
        words.append(self._verdicts() if judged else f"Depths cannot be told apart: {self.why}.")
        if takes := self.takes():
            words.append(self._to_settle(takes))
        if self.corrected < h.mean:
            words.append(
                f"Chosen as the highest of {self.competing}, {percent(h.mean)} is too high: on images and seeds left "
                f"out of choosing it is {percent(self.corrected)} ({interval(*self.corrected_interval)})."
            )
        return words

    def _tie(self) -> str:
        """A sentence where all depths that compete have the same score; else empty."""
        means = {round(d.mean, DIGITS) for d in self.depths if len(d.values) == self.seeds}
        if len(means) > 1 or self.competing < 2:
            return ""
        level = " at chance level" if self.highest.mean <= self.chance else ""
        return f"all {self.competing} depths tie{level}: each scores {percent(self.highest.mean)} on validation."

    def _verdicts(self) -> str:
        points = f"{100 * self.margin:g} points"
        worse = ", ".join(self._worse())
        open_ = ", ".join(str(d.freeze) for d in self.of("open"))
        if (deepest := self.deepest) is not None:
            first = f"The deepest depth shown to be no worse than the best by more than {points} is {deepest.freeze}"
            if deepest.saved is not None:
                first += (
                    f": {percent(deepest.saved.multiply_adds)} of the multiply-adds of a training step and "
                    f"{percent(deepest.saved.parameters)} of the parameters saved"
                )
        else:
            first = f"For no depth is it shown that it is no worse than the best by more than {points}"
        told = [f"shown worse: {worse}" if worse else "none is shown worse", f"open: {open_}" if open_ else ""]
        return f"{first}; {'; '.join(t for t in told if t)}."

    def _worse(self) -> list[str]:
        """Depths that are shown worse; of those that left a race after how many trainings."""
        left = {} if self.raced is None else self.raced.left
        words = {d.freeze: f"{d.freeze}{' (within the margin)' if d.no_worse else ''}" for d in self.depths if d.worse}
        words |= {depth: f"{depth} (after {trainings} trainings)" for depth, (trainings, _) in left.items()}
        return [words[depth] for depth in sorted(words)]

    def _to_settle(self, takes: Mapping[int, Takes]) -> str:
        known = sorted(t.groups for t in takes.values() if t.groups is not None)
        never = [str(depth) for depth, t in takes.items() if t.groups is None]
        words = []
        if known:
            many = f"{known[0]:,}" if known[0] == known[-1] else f"{known[0]:,} to {known[-1]:,}"
            words.append(
                f"To settle what is open with 80 % power takes about {many} groups of validation images (there are "
                f"{self.groups}) with {self.seeds} seeds"
            )
        if never:
            words.append(f"no number of groups settles {', '.join(never)} with {self.seeds} seeds: take more")
        sentence = "; ".join(words)
        return f"{sentence[0].upper()}{sentence[1:]}."


def freezing_curve(
    runs: Mapping[int, Sequence[np.ndarray]],
    targets: np.ndarray,
    groups: np.ndarray,
    task: Task,
    metric: str = "acc",
    margin: float = 0.02,
    saved: Mapping[int, Saved] | None = None,
    raced: Raced | None = None,
    seed: int = 0,
) -> Curve:
    """Judge `runs`, by depth the probabilities [N, C] of every seed on the same images of classes `targets` [N].

    The highest is that of the highest mean, of equal ones the first in `runs`; depths with fewer seeds than others do
    not compete, neither for it nor in the verdicts, and are open. Variance over groups and over seeds is estimated
    apart (Obuchowski and Rockette 1995). How far every depth is behind the best, `best`; with one seed nothing is said.
    What left a race is worse by what the race showed, and the rest are judged at the level of its looks.
    """
    left = {} if raced is None else raced.left
    order, tried = sorted(runs), [*runs]
    most = max(len(of_depth) for depth, of_depth in runs.items() if depth not in left or {*runs} <= {*left})
    full = [depth for depth in order if len(runs[depth]) == most and (depth not in left or {*runs} <= {*left})]
    repeated = {depth: repeat(runs[depth], targets, groups, task, [metric])[metric] for depth in order}
    top = max(full, key=lambda depth: (round(repeated[depth].mean, DIGITS), -tried.index(depth)))
    why = next((repeated[depth].why for depth in full if repeated[depth].why), "")
    behind = dict.fromkeys(order, (math.nan, math.nan))
    behind |= {depth: (left[depth][1], math.nan) for depth in order if depth in left}
    shown = {depth for depth in order if depth in left}
    level = LEVEL if raced is None else raced.level
    rivals = None
    if most > 1 and len(full) > 1 and not why:
        rivals = _rivals({depth: runs[depth] for depth in full}, targets, groups, task, metric)
        worse, least = behind_at_least(rivals, seed, level)
        ends = zip(least.tolist(), at_most_behind(rivals, margin, seed, level).tolist(), strict=True)
        behind |= dict(zip(full, ends, strict=True))
        shown |= {depth for depth, is_worse in zip(full, worse.tolist(), strict=True) if is_worse}
    depths = {
        depth: Depth(
            freeze=depth,
            values=repeated[depth].values,
            mean=repeated[depth].mean,
            interval=repeated[depth].interval,
            deficit=repeated[top].mean - repeated[depth].mean,
            behind=behind[depth],
            worse=depth in shown,
            no_worse=behind[depth][1] <= margin or (raced is not None and raced.decided and depth not in left),
            saved=(saved or {}).get(depth),
        )
        for depth in order
    }
    corrected, interval = correct_highest(
        {depth: runs[depth] for depth in full}, repeated[top], targets, groups, task, metric, seed
    )
    return Curve(
        depths=tuple(depths.values()),
        highest=depths[top],
        margin=margin,
        corrected=corrected,
        corrected_interval=interval,
        images=len(targets),
        groups=len(np.unique(groups)),
        rivals=rivals,
        why=why or "one depth alone has as many seeds",
        raced=raced,
        chance=_chance(metric, targets),
    )


def _chance(metric: str, targets: np.ndarray) -> float:
    """What always answering the same class scores at most."""
    count = np.bincount(targets)
    levels = {"acc": float(count.max() / len(targets)), "balanced_acc": 1 / int(np.count_nonzero(count))}
    return levels.get(metric, math.nan)


def _rivals(
    runs: Mapping[int, Sequence[np.ndarray]], targets: np.ndarray, groups: np.ndarray, task: Task, metric: str
) -> Rivals:
    """What the depths have and how it varies, of the same number of seeds each."""
    seeds = len(next(iter(runs.values())))
    every = [WeightedMetrics(p, targets, task, [metric]) for of_depth in runs.values() for p in of_depth]
    jackknife = Jackknife(every, groups)
    deviations = jackknife.deviations(metric)
    values = jackknife.values[metric].reshape(len(runs), seeds)
    return Rivals.of(values, deviations.reshape(len(runs), seeds, -1), effective_groups(groups))
