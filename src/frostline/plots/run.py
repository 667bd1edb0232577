"""Pictures of runs and studies; `write_png` puts one into a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from frostline.evaluation.depth_curve import Curve
from frostline.evaluation.intervals import Interval

BLUE, ORANGE, GREY = "#1f5f8b", "#d1701f", "#7a7a7a"


def plot_confusion_matrix(matrix: np.ndarray, classes: Sequence[str], title: str) -> Figure:
    """Counts int [C, C], rows true, columns predicted, shaded by the share of the row."""
    figure = Figure(figsize=(4.8, 4.4), layout="constrained")
    axes = figure.subplots()
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i in range(len(classes)):
        for j in range(len(classes)):
            colour = "white" if share[i, j] > 0.5 else "black"
            axes.text(j, i, f"{matrix[i, j]}\n{share[i, j]:.0%}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class (rows add up to 100 %)")
    axes.set_title(title, fontsize=10)
    axes.spines[:].set_visible(False)
    return figure


def plot_curves(history: Sequence[Mapping[str, float]], best_epoch: int, interval: Interval) -> Figure:
    """Loss and accuracy against the epoch, training and validation, the chosen epoch marked; epochs count from 1.

    `interval` is that of the validation accuracy of the chosen epoch.
    """
    figure = Figure(figsize=(8.6, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [int(row["epoch"]) + 1 for row in history]
    for axes, key, name in ((left, "loss", "loss"), (right, "acc", "accuracy")):
        for stage, label, colour in (("train", "training", GREY), ("val", "validation", BLUE)):
            axes.plot(epochs, [row[f"{stage}/{key}"] for row in history], color=colour, marker="o", ms=3, label=label)
        axes.axvline(best_epoch + 1, color=ORANGE, lw=1, ls="--", label=f"chosen: epoch {best_epoch + 1}")
        axes.set_xlabel("epoch")
        axes.set_title(name, fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    right.vlines(best_epoch + 1, *interval, color=ORANGE, lw=3, alpha=0.5, label="95 % interval of it")
    right.set_ylim(0, 1.02)
    left.set_ylim(bottom=0)
    _legend_above(figure, right)
    return figure


def plot_operating(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    point: Mapping[str, float],
    bins: Mapping[str, Sequence[Any]],
    title: str,
) -> Figure:
    """ROC and precision-recall curve of malignant, and a reliability diagram.

    `point` is the chosen one: sensitivity and specificity with lower and upper, precision. `bins` are those of the
    reliability diagram by the label that they get.
    """
    figure = Figure(figsize=(10.2, 3.7), layout="constrained")
    roc, precision_recall, diagram = figure.subplots(1, 3)
    roc.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
    roc.plot(*curves["roc"], color=BLUE, lw=1.5, drawstyle="steps-post")
    precision_recall.plot(*curves["precision_recall"], color=BLUE, lw=1.5)
    x, y = 1 - point["specificity"], point["sensitivity"]
    across = [
        [max(0.0, point["specificity/upper"] - point["specificity"])],
        [max(0.0, point["specificity"] - point["specificity/lower"])],
    ]
    along = [[max(0.0, y - point["sensitivity/lower"])], [max(0.0, point["sensitivity/upper"] - y)]]
    label = "threshold chosen on validation"
    roc.errorbar([x], [y], yerr=along, xerr=across, fmt="o", color=ORANGE, ms=5, lw=1, capsize=2, label=label)
    precision_recall.plot([y], [point["precision"]], "o", color=ORANGE, ms=5)
    diagram.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
    for (name, rows), colour, shift in zip(bins.items(), (GREY, BLUE), (-0.006, 0.006), strict=True):
        ends = [[b.accuracy - b.lower for b in rows], [b.upper - b.accuracy for b in rows]]
        xs, ys = [b.confidence + shift for b in rows], [b.accuracy for b in rows]
        diagram.errorbar(xs, ys, yerr=np.maximum(ends, 0), fmt="o", color=colour, ms=4, lw=1, capsize=2, label=name)
    texts = (
        (roc, "malignant: ROC", "1 - specificity", "sensitivity"),
        (precision_recall, "malignant: precision and recall", "recall (sensitivity)", "precision"),
        (diagram, "calibration", "confidence", "share of right predictions"),
    )
    for axes, name, below, beside in texts:
        axes.set_title(name, fontsize=10)
        axes.set_xlabel(below)
        axes.set_ylabel(beside)
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(-0.03, 1.03)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    roc.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18))
    diagram.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
    figure.suptitle(title, fontsize=10)
    return figure


class TrialPoint(NamedTuple):
    """A trial in a history: its number, its value (of a pruned one that of its last epoch), and the 95 % interval."""

    number: int
    value: float
    pruned: bool
    interval: Interval | None


def plot_history(points: Sequence[TrialPoint], objective: str) -> Figure:
    """Value of every trial, with intervals, and the highest of the complete ones so far."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for pruned, colour, marker, label in ((False, BLUE, "o", "complete"), (True, GREY, "x", "pruned, last epoch")):
        chosen = [p for p in points if p.pruned == pruned]
        if chosen:
            x, y = [p.number for p in chosen], [p.value for p in chosen]
            axes.scatter(x, y, color=colour, marker=marker, s=26, label=label, zorder=3)
    complete = [p for p in points if not p.pruned]
    known = [(p.number, *p.interval) for p in complete if p.interval is not None]
    if known:
        axes.vlines(*zip(*known, strict=True), color=BLUE, lw=1.2, alpha=0.35, label="95 % interval")
    highest = np.maximum.accumulate([p.value for p in complete])
    axes.step([p.number for p in complete], highest, where="post", color=ORANGE, lw=1.2, label="highest so far")
    tidy_axes(axes, "trial", objective)
    _legend_above(figure, axes)
    return figure


def plot_importances(importances: Mapping[str, float], objective: str, trials: int) -> Figure:
    """Share that each option has in the spread of the objective; PED-ANOVA (Watanabe et al. 2023) over the trials."""
    figure = Figure(figsize=(6.4, 1.2 + 0.4 * len(importances)), layout="constrained")
    axes = figure.subplots()
    names = sorted(importances, key=lambda name: importances[name])
    axes.barh(names, [importances[name] for name in names], color=BLUE, height=0.6)
    for i, name in enumerate(names):
        axes.text(importances[name], i, f" {importances[name]:.0%}", va="center", fontsize=9)
    axes.set_xlim(0, 1.1)
    axes.set_xticks([])
    axes.set_title(f"what moves {objective} among the good ones of {trials} trials (PED-ANOVA)", fontsize=10)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    return figure


def plot_finding(curve: Curve, stages: Mapping[str, int], name: str) -> Figure:
    """Mean and 95 % interval at every depth, seeds as points; depths told from the highest are grey."""
    figure = Figure(figsize=(7.6, 4.0), layout="constrained")
    axes = figure.subplots()
    shown = [d.freeze for d in curve.depths]
    spread = (max(shown) - min(shown)) or 10
    axes.plot(shown, [d.mean for d in curve.depths], color=GREY, lw=0.8, alpha=0.7)
    for d in curve.depths:
        colour = GREY if d.told_apart else ORANGE if d is curve.highest else BLUE
        ends = [[max(0.0, d.mean - d.lower)], [max(0.0, d.upper - d.mean)]]
        axes.errorbar([d.freeze], [d.mean], yerr=ends, fmt="o", color=colour, ms=5, lw=1.2, capsize=3)
        if len(d.values) > 1:
            axes.plot([d.freeze] * len(d.values), d.values, ".", color=colour, ms=4, alpha=0.5)
    axes.plot([], [], "o", color=ORANGE, ms=5, label="highest mean")
    axes.plot([], [], "o", color=BLUE, ms=5, label="cannot be told from it")
    lower = "lower" if curve.seeds > 1 else "lower with this one seed"
    axes.plot([], [], "o", color=GREY, ms=5, label=lower)
    for stage, end in stages.items():
        if min(shown) <= end <= max(shown):
            axes.axvline(end, color=ORANGE, lw=0.8, ls="--")
            text = axes.annotate(f"end of {stage}", (end, 0), (-3, 4), axes.get_xaxis_transform(), "offset points")
            text.set(rotation=90, ha="right", va="bottom", fontsize=8, color=ORANGE)
    axes.set_xlim(min(shown) - 0.04 * spread, max(shown) + 0.04 * spread)
    tidy_axes(axes, "frozen layers", name)
    figure.legend(frameon=False, fontsize=8, loc="outside upper center", ncols=3)
    return figure


def _legend_above(figure: Figure, axes: Any) -> None:
    figure.legend(*axes.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside upper center", ncols=4)


def tidy_axes(axes: Any, x: str, y: str) -> None:
    """Labels, whole numbers below, a quiet grid and no frame."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def write_png(figure: Figure, file: Path) -> None:
    """Write whole or not at all, through a canvas of its own: pyplot would keep figures and a window system."""
    partial = file.with_name(f".{file.name}")
    figure.set_canvas(FigureCanvasAgg(figure))
    figure.savefig(str(partial), format="png", dpi=100)
    partial.replace(file)
