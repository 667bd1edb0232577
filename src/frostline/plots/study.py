"""Plots of studies: trials, importances, the freezing curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from frostline.evaluation.depth_curve import Curve
from frostline.evaluation.intervals import Interval
from frostline.plots.style import BLUE, GREY, ORANGE, legend_above, tidy_axes
from frostline.text import percent


class TrialPoint(NamedTuple):
    """A trial in a history, or settings with folds and seeds: its number, value (of one that ended early the last
    epoch's), and the 95 % interval."""

    number: int
    value: float
    pruned: bool
    interval: Interval | None
    repeats: tuple[float, ...] = ()
    """Of settings with folds and seeds the values of each; `value` is over all, `number` the last trial's."""


def plot_history(points: Sequence[TrialPoint], objective: str) -> Figure:
    """Value of every trial, with intervals, and the highest of the complete ones so far."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for pruned, colour, marker, label in ((False, BLUE, "o", "complete"), (True, GREY, "x", "ended early")):
        chosen = [p for p in points if p.pruned == pruned]
        if chosen:
            x, y = [p.number for p in chosen], [p.value for p in chosen]
            axes.scatter(x, y, color=colour, marker=marker, s=26, label=label, zorder=3)
    complete = [p for p in points if not p.pruned]
    parts = [(p.number, value) for p in points for value in p.repeats]
    if parts:
        axes.plot(*zip(*parts, strict=True), ".", color=GREY, ms=4, alpha=0.5, label="single folds and seeds")
    known = [(p.number, *p.interval) for p in complete if p.interval is not None]
    if known:
        axes.vlines(*zip(*known, strict=True), color=BLUE, lw=1.2, alpha=0.35, label="95 % interval")
    highest = np.maximum.accumulate([p.value for p in complete])
    axes.step([p.number for p in complete], highest, where="post", color=ORANGE, lw=1.2, label="highest so far")
    tidy_axes(axes, "trial", objective)
    legend_above(figure, axes)
    return figure


def plot_importances(importances: Mapping[str, float], objective: str, trials: int) -> Figure:
    """Share that each option has in the spread of the objective; PED-ANOVA (Watanabe et al. 2023) over the trials."""
    figure = Figure(figsize=(6.4, 1.2 + 0.4 * len(importances)), layout="constrained")
    axes = figure.subplots()
    names = sorted(importances, key=lambda name: importances[name])
    axes.barh(names, [importances[name] for name in names], color=BLUE, height=0.6)
    for i, name in enumerate(names):
        axes.text(importances[name], i, f" {percent(importances[name])}", va="center", fontsize=9)
    axes.set_xlim(0, 1.1)
    axes.set_xticks([])
    axes.set_title(f"what moves {objective} among the good ones of {trials} trials (PED-ANOVA)", fontsize=10)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    return figure


VERDICT_COLOURS = {"no worse": ORANGE, "open": BLUE, "worse": GREY}


def plot_finding(curve: Curve, stages: Mapping[str, int], name: str) -> Figure:
    """Mean and 95 % interval at every depth, seeds as points, coloured by what is shown of it."""
    figure = Figure(figsize=(7.6, 4.0), layout="constrained")
    axes = figure.subplots()
    shown = [d.freeze for d in curve.depths]
    spread = (max(shown) - min(shown)) or 10
    axes.plot(shown, [d.mean for d in curve.depths], color=GREY, lw=0.8, alpha=0.7)
    for d in curve.depths:
        colour, low, high = VERDICT_COLOURS[d.verdict], *d.interval
        ends = None if low != low else [[max(0.0, d.mean - low)], [max(0.0, high - d.mean)]]
        marker = "D" if d is curve.highest else "o"
        axes.errorbar([d.freeze], [d.mean], yerr=ends, fmt=marker, color=colour, ms=5, lw=1.2, capsize=3)
        if len(d.values) > 1:
            axes.plot([d.freeze] * len(d.values), d.values, ".", color=colour, ms=4, alpha=0.5)
    axes.plot([], [], "D", color="#000000", ms=5, mfc="none", label="highest mean")
    points = f"{100 * curve.margin:g} points"
    for verdict, label in (("no worse", f"shown no worse, by {points}"), ("open", "open"), ("worse", "shown worse")):
        axes.plot([], [], "o", color=VERDICT_COLOURS[verdict], ms=5, label=label)
    for stage, end in stages.items():
        if min(shown) <= end <= max(shown):
            axes.axvline(end, color=ORANGE, lw=0.8, ls="--")
            text = axes.annotate(f"end of {stage}", (end, 0), (-3, 4), axes.get_xaxis_transform(), "offset points")
            text.set(rotation=90, ha="right", va="bottom", fontsize=8, color=ORANGE)
    axes.set_xlim(min(shown) - 0.04 * spread, max(shown) + 0.04 * spread)
    tidy_axes(axes, "frozen layers", name)
    figure.legend(frameon=False, fontsize=8, loc="outside upper center", ncols=4)
    return figure
