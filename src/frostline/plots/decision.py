"""The plot of a decision curve."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from frostline.evaluation.decision_curve import DecisionCurve
from frostline.plots.style import BLUE, GREY, ORANGE, legend_above
from frostline.text import percent


def plot_decision_curve(positive: str, curve: DecisionCurve, title: str) -> Figure:
    """Net benefit of acting on the class `positive` by threshold probability, with its band, beside all and none."""
    figure = Figure(figsize=(5.6, 3.9), layout="constrained")
    axes = figure.subplots()
    axes.plot(curve.thresholds, curve.treat_all, color=GREY, lw=1.2, label="act on all")
    axes.axhline(0, color="#000000", lw=0.8, ls=":", label="act on none")
    axes.plot(curve.thresholds, curve.model, color=BLUE, lw=1.6, label="act on the network")
    if not np.isnan(curve.lower).all():
        axes.fill_between(
            curve.thresholds, curve.lower, curve.upper, color=BLUE, alpha=0.18, lw=0, label="95 %, by groups"
        )
    axes.axvline(curve.prevalence, color=ORANGE, lw=0.8, ls="--", label="prevalence")
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.25 * curve.prevalence, 1.3 * curve.prevalence)
    axes.set_xlabel(f"probability of {positive} from which one would act")
    axes.set_ylabel("net benefit")
    axes.set_title(f"{title}, prevalence {percent(curve.prevalence)}", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    legend_above(figure, axes)
    return figure
