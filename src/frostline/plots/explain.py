"""Slices with heat maps over them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from frostline.plots.style import ORANGE

COLOURS, OPAQUE = "inferno", 0.65
COLUMNS = 6


@dataclass(frozen=True)
class Overlay:
    """A slice float [S, S] and a heat map float [S, S], both in 0..1, and what stands above."""

    grey: np.ndarray
    heat: np.ndarray
    name: str
    predicted: str
    prediction_set: str
    heat_for: str
    flag: str


def blend(grey: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The slice [S, S] in grey with the heat over it, as strong as it is high: float [S, S, 3] in 0..1."""
    opaque = OPAQUE * heat[..., None]
    colours = colormaps[COLOURS](heat)[..., :3]
    mixed: np.ndarray = np.repeat(grey[..., None], 3, axis=2) * (1 - opaque) + colours * opaque
    return mixed


def plot_overlay(o: Overlay) -> Figure:
    """The slice as it is, and with the heat map."""
    figure = Figure(figsize=(7.2, 4.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(o.grey, cmap="gray", vmin=0, vmax=1)
    right.imshow(blend(o.grey, o.heat))
    left.set_title(_short(o.name, 40), fontsize=9)
    right.set_title(f"where it looked {o.heat_for}", fontsize=9)
    for axes in (left, right):
        axes.set_axis_off()
    bar = figure.colorbar(ScalarMappable(cmap=COLOURS), ax=right, fraction=0.046, pad=0.02)
    bar.set_ticks([0, 1], labels=["none", "most"], fontsize=8)
    figure.suptitle(f"{o.predicted}; {o.prediction_set}", fontsize=11)
    if o.flag:
        figure.supxlabel(textwrap.fill(o.flag, 90), fontsize=9, color=ORANGE)
    return figure


def plot_sheet(overlays: Sequence[Overlay]) -> Figure:
    """Many of them on one sheet, each with what is said of it."""
    columns = min(COLUMNS, len(overlays))
    rows = -(-len(overlays) // columns)
    lines = 0.15 * any(o.flag for o in overlays)  # inches, that titles of four lines take
    figure = Figure(figsize=(2.3 * columns, (2.85 + lines) * rows + 0.3), layout="compressed")
    grid: Any = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:  # not set_axis_off: the layout would leave no room for titles
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    for axes, o in zip(grid.flat, overlays, strict=False):
        axes.imshow(blend(o.grey, o.heat))
        flagged = f"\n{_short(o.flag, 32)}" if o.flag else ""
        axes.set_title(
            f"{_short(o.name, 30)}\n{o.predicted}\n{o.heat_for}{flagged}",
            fontsize=7.5,
            color=ORANGE if o.flag else "black",
        )
    told = "The brighter, the more the class rests on it: where, not why, and not whether it is right."
    figure.supxlabel(textwrap.fill(told, 30 * columns), fontsize=8)
    return figure


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length // 2]}...{text[-length // 2 + 3 :]}"
