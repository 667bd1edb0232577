"""Plots of runs and studies; `write_png` puts one into a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from frostline.evaluation.intervals import Interval
from frostline.plots.style import BLUE, GREY, ORANGE, legend_above
from frostline.text import percent


def plot_confusion_matrix(matrix: np.ndarray, classes: Sequence[str], title: str) -> Figure:
    """Counts int [C, C], rows true, columns predicted, shaded by the share of the row."""
    figure = Figure(figsize=(4.8, 4.4), layout="constrained")
    axes = figure.subplots()
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i in range(len(classes)):
        for j in range(len(classes)):
            colour = "white" if share[i, j] > 0.5 else "black"
            axes.text(j, i, f"{matrix[i, j]}\n{percent(share[i, j])}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class (rows add up to 100 %)")
    axes.set_title(title, fontsize=10)
    axes.spines[:].set_visible(False)
    return figure


def plot_curves(history: Sequence[Mapping[str, float]], best_epoch: int, interval: Interval) -> Figure:
    """Loss and accuracy against the epoch, training and validation, the epoch that is kept marked; epochs count from 1.

    `interval` is that of the validation accuracy of that epoch.
    """
    figure = Figure(figsize=(8.6, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [int(row["epoch"]) + 1 for row in history]
    for axes, key, name in ((left, "loss", "loss"), (right, "acc", "accuracy")):
        for stage, label, colour in (("train", "training", GREY), ("val", "validation", BLUE)):
            axes.plot(epochs, [row[f"{stage}/{key}"] for row in history], color=colour, marker="o", ms=3, label=label)
        axes.axvline(best_epoch + 1, color=ORANGE, lw=1, ls="--", label=f"kept: epoch {best_epoch + 1}")
        axes.set_xlabel("epoch")
        axes.set_title(name, fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    if interval[0] == interval[0]:
        right.vlines(best_epoch + 1, *interval, color=ORANGE, lw=3, alpha=0.5, label="95 % interval of it")
    right.set_ylim(0, 1.02)
    left.set_ylim(bottom=0)
    legend_above(figure, right)
    return figure


def _draw_point(roc: Any, precision_recall: Any, point: Mapping[str, float]) -> None:
    x, y = 1 - point["specificity"], point["sensitivity"]
    across = [
        [max(0.0, point["specificity/upper"] - point["specificity"])],
        [max(0.0, point["specificity"] - point["specificity/lower"])],
    ]
    along = [[max(0.0, y - point["sensitivity/lower"])], [max(0.0, point["sensitivity/upper"] - y)]]
    label = "threshold chosen on validation"
    roc.errorbar([x], [y], yerr=along, xerr=across, fmt="o", color=ORANGE, ms=5, lw=1, capsize=2, label=label)
    precision_recall.plot([y], [point["precision"]], "o", color=ORANGE, ms=5)


def plot_operating(
    positive: str,
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    point: Mapping[str, float],
    bins: Mapping[str, Sequence[Any]],
    title: str,
) -> Figure:
    """ROC and precision-recall curve of the class `positive`, and a reliability diagram.

    `point` is the chosen one: sensitivity and specificity with lower and upper, precision; empty for none. `bins` are
    those of the reliability diagram by the label that they get.
    """
    figure = Figure(figsize=(10.2, 3.7), layout="constrained")
    roc, precision_recall, diagram = figure.subplots(1, 3)
    roc.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
    roc.plot(*curves["roc"], color=BLUE, lw=1.5, drawstyle="steps-post")
    precision_recall.plot(*curves["precision_recall"], color=BLUE, lw=1.5)
    if point:
        _draw_point(roc, precision_recall, point)
    diagram.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
    for (name, rows), colour, shift in zip(bins.items(), (GREY, BLUE), (-0.006, 0.006), strict=False):
        ends = [[b.accuracy - b.lower for b in rows], [b.upper - b.accuracy for b in rows]]
        xs, ys = [b.confidence + shift for b in rows], [b.accuracy for b in rows]
        diagram.errorbar(xs, ys, yerr=np.maximum(ends, 0), fmt="o", color=colour, ms=4, lw=1, capsize=2, label=name)
    texts = (
        (roc, f"{positive}: ROC", "1 - specificity", "sensitivity"),
        (precision_recall, f"{positive}: precision and recall", "recall (sensitivity)", "precision"),
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
    if point:
        roc.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18))
    diagram.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
    figure.suptitle(title, fontsize=10)
    return figure
