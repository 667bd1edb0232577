"""Colours and axes that all plots share, and how one becomes a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

BLUE, ORANGE, GREY = "#1f5f8b", "#d1701f", "#7a7a7a"


def tidy_axes(axes: Any, x: str, y: str) -> None:
    """Labels, whole numbers below, a quiet grid and no frame."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def legend_above(figure: Figure, axes: Any, columns: int = 4) -> None:
    figure.legend(
        *axes.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside upper center", ncols=columns
    )


def write_png(figure: Figure, file: Path) -> None:
    """Write whole or not at all, through a canvas of its own: pyplot would keep figures and a window system."""
    partial = file.with_name(f".{file.name}")
    figure.set_canvas(FigureCanvasAgg(figure))
    figure.savefig(str(partial), format="png", dpi=100)
    partial.replace(file)
