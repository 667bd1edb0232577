"""Figures as SVG for a page: its colours are those of the page, light or dark, and text stays text."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from frostline.plots.run import BLUE, GREY, ORANGE

COLOURS = {BLUE: "var(--blue)", ORANGE: "var(--orange)", GREY: "var(--grey)", "#000000": "currentColor"}
FEW = 5  # different values are names on an axis
_count = itertools.count()


def svg(figure: Figure, label: str) -> str:
    """The figure as an element for HTML; `label` is what a screen reader says."""
    out = io.StringIO()
    figure.patch.set_alpha(0)
    for axes in figure.axes:
        axes.patch.set_alpha(0)
    # The salt keeps names of clip paths apart when many figures stand on one page.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"frostline-{next(_count)}"}):
        figure.set_canvas(FigureCanvasSVG(figure))
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for colour, variable in COLOURS.items():
        text = text.replace(colour, variable)
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', text)[1])  # type: ignore[index]  # matplotlib always writes one
    size = f"max-width: {width * 1.25:.0f}px; min-width: {width * 0.85:.0f}px"
    start = f'<svg role="img" aria-label="{label}" style="{size}" '
    return re.sub(r"<svg (?=.*?viewBox)", start, re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2), count=1)


def plot_parallel(
    options: Sequence[str], rows: Sequence[Mapping[str, Any]], values: Sequence[float], name: str
) -> Figure:
    """Parallel coordinates: a line for each trial through its settings to its value, the higher the stronger."""
    figure = Figure(figsize=(7.6, 3.6), layout="constrained")
    axes = figure.subplots()
    places, labels = zip(
        *(_scale([row.get(option) for row in rows], "lr" in option) for option in options), strict=True
    )
    low, high = min(values), max(values)
    ends = [(v - low) / ((high - low) or 1) for v in values]
    for i in np.argsort(ends):
        heights = [place[i] for place in places] + [ends[i]]
        colour = BLUE if ends[i] >= 0.5 else GREY
        axes.plot(range(len(heights)), heights, color=colour, lw=0.8 + ends[i], alpha=0.25 + 0.6 * ends[i])
    ticks = [*labels, {0.0: f"{low:.3f}", 1.0: f"{high:.3f}"}]
    for x, texts in enumerate(ticks):
        axes.axvline(x, color="#000000", lw=0.8)
        for y, text in texts.items():
            axes.annotate(text, (x, y), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_xticks(range(len(ticks)), [*options, name])
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(ticks) - 0.6)
    axes.spines[:].set_visible(False)
    return figure


def _scale(values: Sequence[Any], log: bool) -> tuple[list[float], dict[float, str]]:
    """Heights 0..1 of values on an axis, and what stands where: names in order, numbers by size."""
    few = len(set(values)) <= FEW and not log
    if not few and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        numbers = np.log10(np.array(values, float)) if log else np.array(values, float)
        low, high = float(numbers.min()), float(numbers.max())
        heights = (numbers - low) / ((high - low) or 1)
        ends = (10**low, 10**high) if log else (low, high)
        return heights.tolist(), {0.0: f"{ends[0]:.3g}", 1.0: f"{ends[1]:.3g}"}
    names = [
        str(v)
        for v in sorted(
            set(values), key=lambda v: (isinstance(v, str), v is None, v if isinstance(v, (int, float)) else str(v))
        )
    ]
    at = {name: i / max(1, len(names) - 1) for i, name in enumerate(names)}
    return [at[str(v)] for v in values], {y: name for name, y in at.items()}
