"""The plot of what referring the least sure images leaves."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from frostline.plots.style import BLUE, GREY, legend_above


def plot_risk(coverage: np.ndarray, risk: np.ndarray, title: str) -> Figure:
    """Errors among the images that are kept, by the share that is kept, both [K] in 0..1."""
    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.axhline(100 * risk[-1], color=GREY, lw=1.0, ls="--", label="of all images")
    axes.plot(100 * coverage, 100 * risk, color=BLUE, lw=1.6, drawstyle="steps-post", label="of those kept")
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("images left to the network, surest first, %")
    axes.set_ylabel("wrong, %")
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    legend_above(figure, axes)
    return figure
