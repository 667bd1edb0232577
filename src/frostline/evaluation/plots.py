"""Pictures of runs and studies; `write_png` puts one into a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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


def plot_curves(history: Sequence[Mapping[str, float]], best_epoch: int) -> Figure:
    """Loss and accuracy against the epoch, training and validation, the chosen epoch marked; epochs count from 1."""
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


def plot_history(points: Sequence[tuple[int, float, bool]], objective: str) -> Figure:
    """Value of every trial (number, value, whether pruned), and the highest of the complete ones so far."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for pruned, colour, marker, label in ((False, BLUE, "o", "complete"), (True, GREY, "x", "pruned, last epoch")):
        chosen = [(n, value) for n, value, p in points if p == pruned]
        if chosen:
            axes.scatter([n for n, _ in chosen], [v for _, v in chosen], color=colour, marker=marker, s=26, label=label)
    complete = [(n, value) for n, value, pruned in points if not pruned]
    highest = np.maximum.accumulate([value for _, value in complete])
    axes.step([n for n, _ in complete], highest, where="post", color=ORANGE, lw=1.2, label="highest so far")
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


def plot_depths(values: Mapping[int, Sequence[float]], objective: str, stages: Mapping[str, int]) -> Figure:
    """Objective against the number of frozen layers: every seed a point, their mean a line, stage ends marked."""
    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    axes = figure.subplots()
    depths = list(values)
    points = [(depth, value) for depth in depths for value in values[depth]]
    repeated = len(points) > len(depths)
    axes.plot(depths, [float(np.mean(values[d])) for d in depths], color=BLUE, lw=1.5, label="mean of the seeds")
    axes.scatter(
        [d for d, _ in points], [v for _, v in points], color=BLUE, s=18, alpha=0.6, label="a run" if repeated else None
    )
    low, high = min(depths) - 3, max(depths) + 3
    for name, end in stages.items():
        if min(depths) <= end <= max(depths):
            axes.axvline(end, color=ORANGE, lw=1, ls="--")
            axes.annotate(
                f"end of {name}",
                (end, 1),
                xycoords=("data", "axes fraction"),
                xytext=(-3, -3),
                textcoords="offset points",
                rotation=90,
                ha="right",
                va="top",
                fontsize=8,
                color=ORANGE,
            )
    axes.set_xlim(low, high)
    tidy_axes(axes, "frozen layers", objective)
    if repeated:
        _legend_above(figure, axes)
    return figure


def _legend_above(figure: Figure, axes: Any) -> None:
    figure.legend(*axes.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside upper center", ncols=3)


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
