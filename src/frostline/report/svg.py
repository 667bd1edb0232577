"""Figures as SVG for a page: its colours are those of the page, light or dark, and text stays text."""

from __future__ import annotations

import io
import itertools
import re

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from frostline.plots.style import BLUE, GREY, ORANGE, legend_above

COLOURS = {BLUE: "var(--blue)", ORANGE: "var(--orange)", GREY: "var(--grey)", "#000000": "currentColor"}
_count = itertools.count()


def svg(figure: Figure, label: str) -> str:
    """The figure as an element for HTML; `label` is what a screen reader says.

    Panels that stand side by side are drawn once more, one below the other, for a narrow screen.
    """
    figure.patch.set_alpha(0)
    for axes in figure.axes:
        axes.patch.set_alpha(0)
    drawn = _element(figure, label)
    if len(figure.axes) == 1:
        return drawn
    _stack(figure)
    return f'<div class="across">{drawn}</div><div class="stacked">{_element(figure, label)}</div>'


def _stack(figure: Figure) -> None:
    panels = len(figure.axes)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width / panels, height * panels)
    grid = GridSpec(panels, 1, figure=figure)
    for row, axes in enumerate(figure.axes):
        axes.set_subplotspec(grid[row])
    for legend in [*figure.legends]:  # its columns are laid out once
        legend.remove()
        legend_above(figure, figure.axes[-1], columns=2)


def _element(figure: Figure, label: str) -> str:
    out = io.StringIO()
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
