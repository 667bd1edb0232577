"""Pictures of a run, as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

BLUE, ORANGE, GREY = "#1f5f8b", "#d1701f", "#7a7a7a"


def plot_confusion_matrix(file: Path, matrix: np.ndarray, classes: Sequence[str], title: str) -> None:
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
    _save(figure, file)


def plot_curves(file: Path, history: Sequence[Mapping[str, float]], best_epoch: int) -> None:
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
    figure.legend(*right.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside upper center", ncols=3)
    _save(figure, file)


def _save(figure: Figure, file: Path) -> None:
    """Write through a canvas of its own: pyplot would keep figures and a window system."""
    partial = file.with_name(f".{file.name}")
    figure.set_canvas(FigureCanvasAgg(figure))
    figure.savefig(str(partial), format="png", dpi=100)
    partial.replace(file)
