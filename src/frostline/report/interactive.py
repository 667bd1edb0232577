"""Curves that answer a pointer, by plotly, in a page that needs no network.

Their colours are names (`meta`), which the page turns into its own, light or dark.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from frostline.evaluation.depth_curve import Curve
from frostline.plots.study import TrialPoint
from frostline.text import interval, percent

COLOURS = {"no worse": "orange", "open": "blue", "worse": "grey"}
VERDICTS = {"no worse": "shown no worse", "open": "open", "worse": "shown worse"}
FEW = 5  # different values are names on an axis
_count = itertools.count()


def script() -> str:
    """plotly's own script, once a page (MIT licence)."""
    return str(get_plotlyjs())


def element(figure: go.Figure, label: str) -> str:
    """The figure as an element for HTML; `label` is what a screen reader says."""
    figure.update_layout(
        margin={"l": 60, "r": 16, "t": 30, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 12, "family": "system-ui, sans-serif"},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
        hoverlabel={"align": "left"},
        hovermode="closest",
        dragmode=False,
    )
    values = [v for trace in figure.data for v in trace.y or () if v is not None]
    ends = [
        v + sign * (reach or 0)
        for trace in figure.data
        for sign, reaches in ((1, trace.error_y.array), (-1, trace.error_y.arrayminus))
        for v, reach in zip(trace.y or (), reaches or (), strict=False)
        if v is not None
    ]
    if values:  # a score of 1 has room above, and a tie is no cliff
        figure.update_yaxes(range=[max(-0.02, min(values + ends) - 0.05), min(1.02, max(values + ends) + 0.05)])
    figure.update_yaxes(zeroline=False, fixedrange=True, automargin=True)
    figure.update_xaxes(zeroline=False, fixedrange=True, automargin=True)
    figure.update_layout(autosize=True)
    height = f"{figure.layout.height}px"
    options = {"displayModeBar": False, "responsive": True}
    name = f"curve-{next(_count)}"
    html = figure.to_html(full_html=False, include_plotlyjs=False, config=options, div_id=name, default_height=height)
    return f'<div class="live" role="img" aria-label="{label}">{html}</div>'


def history(points: Sequence[TrialPoint], settings: Mapping[int, Mapping[str, str]], objective: str) -> go.Figure:
    """Value of every trial, or of every setting over its folds and seeds, and the highest so far."""
    figure = _figure(320, "trial", objective)
    for pruned, colour, symbol, name in ((False, "blue", "circle", "complete"), (True, "grey", "x", "ended early")):
        chosen = [p for p in points if p.pruned == pruned]
        if chosen:
            low, high = _ends([p.value for p in chosen], [p.interval for p in chosen])
            figure.add_scatter(
                x=[p.number for p in chosen],
                y=[p.value for p in chosen],
                error_y={"array": high, "arrayminus": low, "thickness": 1.2, "width": 0},
                mode="markers",
                marker={"symbol": symbol, "size": 8},
                name=name,
                meta={"colour": colour},
                text=[_point(p, settings.get(p.number, {}), objective) for p in chosen],
                hovertemplate="%{text}<extra></extra>",
            )
    parts = [(p.number, value) for p in points for value in p.repeats]
    if parts:
        x, y = zip(*parts, strict=True)
        figure.add_scatter(
            x=x,
            y=y,
            mode="markers",
            marker={"size": 4, "opacity": 0.5},
            name="single folds and seeds",
            meta={"colour": "grey"},
            hovertemplate=f"one fold and seed: {objective} %{{y:.3f}}<extra></extra>",
        )
    figure.update_xaxes(dtick=max(1, round(max((p.number for p in points), default=1) / 10)))
    complete = [p for p in points if not p.pruned]
    figure.add_scatter(
        x=[p.number for p in complete],
        y=np.maximum.accumulate([p.value for p in complete]).tolist() if complete else [],
        mode="lines",
        line={"shape": "hv", "width": 1.5},
        name="highest so far",
        meta={"colour": "orange"},
        hoverinfo="skip",
    )
    return figure


def finding(curve: Curve, stages: Mapping[str, int], name: str) -> go.Figure:
    """Mean and 95 % interval at every depth, coloured by what is shown of it, seeds as small points."""
    figure = _figure(380, "frozen layers", name)
    figure.add_scatter(
        x=[d.freeze for d in curve.depths],
        y=[d.mean for d in curve.depths],
        mode="lines",
        line={"width": 1},
        meta={"colour": "grey"},
        showlegend=False,
        hoverinfo="skip",
    )
    no_point: list[Any] = [None]  # so that the legend names every verdict
    for verdict, words in VERDICTS.items():
        chosen = [d for d in curve.depths if d.verdict == verdict]
        low, high = _ends([d.mean for d in chosen], [d.interval for d in chosen])
        figure.add_scatter(
            x=[*(d.freeze for d in chosen)] or no_point,
            y=[*(d.mean for d in chosen)] or no_point,
            error_y={"array": high, "arrayminus": low, "thickness": 1.2, "width": 4},
            mode="markers",
            marker={"size": 8, "symbol": ["diamond" if d is curve.highest else "circle" for d in chosen]},
            name=f"{words}, by {100 * curve.margin:g} points" if verdict == "no worse" else words,
            meta={"colour": COLOURS[verdict]},
            text=[_depth(curve, d) for d in chosen],
            hovertemplate="%{text}<extra></extra>",
        )
    seeds = [(d.freeze, value) for d in curve.depths if len(d.values) > 1 for value in d.values]
    if seeds:
        x, y = zip(*seeds, strict=True)
        figure.add_scatter(
            x=x,
            y=y,
            mode="markers",
            marker={"size": 4, "opacity": 0.5},
            name="single seeds",
            meta={"colour": "grey"},
            hovertemplate=f"one seed, %{{x}} layers frozen: {name} %{{y:.3f}}<extra></extra>",
        )
    shown = [d.freeze for d in curve.depths]
    for stage, end in stages.items():
        if min(shown) <= end <= max(shown):
            figure.add_vline(x=end, line={"width": 1, "dash": "dot", "color": "#888888"})
            figure.add_annotation(x=end, y=0, yref="paper", text=f"end of {stage}", textangle=-90, showarrow=False)
            figure.layout.annotations[-1].update(xanchor="right", yanchor="bottom", font={"size": 10})
    return figure


def parallel(
    options: Sequence[str], trials: Sequence[tuple[int, Mapping[str, Any], float]], objective: str
) -> go.Figure:
    """A line for each trial (number, settings, value) through its settings to its value."""
    figure = _figure(340, "", "")
    scales = [_scale([settings.get(option) for _, settings, _ in trials], "lr" in option) for option in options]
    values = [value for _, _, value in trials]
    low, high = min(values), max(values)
    for i in np.argsort(values):
        number, settings, value = trials[i]
        end = (value - low) / ((high - low) or 1)
        heights = [place[i] for place, _ in scales] + [end]
        words = "<br>".join(f"{option} {_short(settings.get(option))}" for option in options)
        figure.add_scatter(
            x=list(range(len(heights))),
            y=heights,
            mode="lines",
            line={"width": 1 + 1.5 * end},
            opacity=0.25 + 0.7 * end,
            meta={"colour": "blue" if end >= 0.5 else "grey"},
            showlegend=False,
            text=[f"trial {number}: {objective} {value:.3f}<br>{words}"] * len(heights),
            hovertemplate="%{text}<extra></extra>",
        )
    ticks = [labels for _, labels in scales] + [{0.0: f"{low:.3f}", 1.0: f"{high:.3f}"}]
    for x, texts in enumerate(ticks):
        figure.add_vline(x=x, line={"width": 1, "color": "#888888"})
        for y, text in texts.items():
            figure.add_annotation(x=x, y=y, text=text, showarrow=False, xanchor="left", xshift=4, font={"size": 11})
    names = [option.rpartition(".")[2] or option for option in options]
    figure.update_xaxes(tickvals=list(range(len(ticks))), ticktext=[*names, objective], range=[-0.1, len(ticks) - 0.5])
    figure.update_yaxes(visible=False)
    return figure


def _figure(height: int, x: str, y: str) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(height=height, template="none", xaxis={"title": x}, yaxis={"title": y, "tickformat": ".2f"})
    return figure


def _ends(values: Sequence[float], intervals: Sequence[tuple[float, float] | None]) -> tuple[list[Any], list[Any]]:
    """How far intervals reach below and above; None where there is none."""
    known = [i if i is not None and i[0] == i[0] else None for i in intervals]
    low = [None if i is None else max(0.0, v - i[0]) for v, i in zip(values, known, strict=True)]
    high = [None if i is None else max(0.0, i[1] - v) for v, i in zip(values, known, strict=True)]
    return low, high


def _point(point: TrialPoint, settings: Mapping[str, str], objective: str) -> str:
    lines = [f"trial {point.number}: {objective} {point.value:.3f}"]
    if point.repeats:
        lines[0] = f"{len(point.repeats)} folds and seeds: {objective} {point.value:.3f}"
    if point.interval is not None:
        lines.append(f"95 % interval {interval(*point.interval)} %")
    return "<br>".join([*lines, *(f"{name} {value}" for name, value in settings.items())])


def _depth(curve: Curve, d: Any) -> str:
    lines = [f"{d.freeze} layers frozen: {percent(d.mean)}"]
    lines += [f"95 % interval {interval(*d.interval)} %"] if d.interval[0] == d.interval[0] else ["without an interval"]
    lines += [f"behind the best by {interval(*d.behind)} points"] if d.behind[0] == d.behind[0] else []
    lines += [("highest mean; " if d is curve.highest else "") + VERDICTS[d.verdict]]
    return "<br>".join([*lines, f"{len(d.values)} {'seed' if len(d.values) == 1 else 'seeds'}"])


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _scale(values: Sequence[Any], log: bool) -> tuple[list[float], dict[float, str]]:
    """Heights 0..1 of values on an axis, and what stands where: names in order, numbers by size."""
    numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    log = log and numeric and all(v > 0 for v in values)
    few = len(set(values)) <= FEW and not log
    if not few and numeric:
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
