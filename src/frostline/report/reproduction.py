"""The claim card: what a published report says, beside one's own runs on the same data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from frostline.evaluation.catalog import named_metrics
from frostline.evaluation.depth_curve import Curve
from frostline.evaluation.intervals import Interval, subtract
from frostline.evaluation.seeds import Repeats
from frostline.report.published import PublishedReport, PublishedValue
from frostline.task import Task

REPRODUCED, WITHIN, NOT, UNTESTED = "reproduced", "within the interval", "not reproduced", "not testable here"
RATE_FACTOR = 2.0  # a learning rate within it counts as the same


@dataclass(frozen=True)
class Claim:
    """A row: what the report says, what was found, and whether they agree."""

    what: str
    report: str
    found: str
    verdict: str
    why: str = ""


def judge(published: PublishedValue, half_an_image: float, mean: float, interval: Interval) -> str:
    """`reproduced` when the values are the same to half an image of the report's test set, else by the difference.

    Within the interval: that of the difference, for which the report's own interval counts too, holds 0.
    """
    if abs(mean - published.value) <= half_an_image:
        return REPRODUCED
    difference, (low, high) = subtract(mean, interval, published.value, published.interval)
    if low <= 0 <= high:
        return WITHIN
    return f"{NOT}, {'higher' if difference > 0 else 'lower'} here"


def conditions(report: PublishedReport, options: Mapping[str, object]) -> Claim:
    """Whether a configuration was trained and tested as the report's was."""

    def in_words(of: Mapping[str, object]) -> list[str]:
        return [f"{key.split('.')[-1].replace('_', ' ')} {of.get(key)}" for key in report.conditions]

    theirs = in_words(report.conditions)
    other = [ours for ours, its in zip(in_words(options), theirs, strict=True) if ours != its]
    words = ", ".join(theirs)
    return Claim("conditions", words, ", ".join(other) or words, "other conditions" if other else "the same")


def metric_claims(
    report: PublishedReport,
    task: Task,
    tested: Mapping[str, Repeats],
    matrix: np.ndarray,
    options: Mapping[str, object],
) -> list[Claim]:
    """Rows of one configuration of the report's model on the test set; `matrix` is its confusion matrix, rows true."""
    card = [conditions(report, options)]
    labels = {m.key: m.label for m in named_metrics(task)}
    for key, published in report.metrics.items():
        card.append(_metric(labels[key], published, report.half_an_image, tested[key]))
    return [*card, _errors(report, task, matrix)] if report.errors_between else card


def _errors(report: PublishedReport, task: Task, matrix: np.ndarray) -> Claim:
    between = " and ".join(report.errors_between)
    expected = f"between {between} only"
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    if not wrong.sum():
        return Claim("errors", expected, "none", WITHIN)
    inside = [task.index(name) for name in report.errors_between]
    if wrong[np.ix_(inside, inside)].sum() == wrong.sum():
        return Claim("errors", expected, expected, REPRODUCED)
    others = [name for name in task.classes if name not in report.errors_between]
    return Claim("errors", expected, f"{' and '.join(others)} confused too", NOT)


@dataclass(frozen=True)
class Searched:
    """What phase 1 came to: the settings with the highest score, and whether they beat the report's."""

    highest: Mapping[str, object]
    beats_the_reports: bool | None
    """Whether a difference to a trial with the report's settings is shown; None when there was no such trial."""


def like_the_reports(report: PublishedReport, settings: Mapping[str, object]) -> bool:
    """Whether settings are those that the report found, rates within a factor of `RATE_FACTOR` counting as the same."""

    def same(ours: object, theirs: Any) -> bool:
        if isinstance(theirs, float):
            return isinstance(ours, float) and 1 / RATE_FACTOR < ours / theirs < RATE_FACTOR
        return bool(ours == theirs)

    return all(same(settings.get(key), value) for key, value in report.settings.items())


def search_claims(
    report: PublishedReport,
    curve: Curve | None,
    searched: Searched | None,
    sisters: Mapping[str, Mapping[str, Repeats]],
    task: Task,
) -> list[Claim]:
    """Rows of the two phases, and of sister models on the test set by name; what is None was not run."""
    rows = [_settings(report, searched)] if report.settings else []
    rows += _freezing(report, curve) if report.freezing else []
    labels = {m.key: m.label for m in named_metrics(task)}
    for model, metrics in report.sisters.items():
        for key, published in metrics.items():
            what = f"{model}: {labels[key]}"
            if model in sisters:
                rows.append(_metric(what, published, report.half_an_image, sisters[model][key]))
            else:
                why = f"no run of {model} was tested"
                rows.append(Claim(what, _published(published), "-", UNTESTED, why))
    return rows


def _metric(what: str, published: PublishedValue, half_an_image: float, ours: Repeats) -> Claim:
    verdict = judge(published, half_an_image, ours.mean, ours.interval)
    return Claim(what, _published(published), _words(ours.mean, *ours.interval), verdict)


def _published(value: PublishedValue) -> str:
    text = f"{100 * value.value:.2f}".rstrip("0").rstrip(".") + " %"
    if value.counts is not None:
        text += f" ({100 * value.interval[0]:.1f} to {100 * value.interval[1]:.1f} %)"
    return text


def _words(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f} %" + (f" ({100 * low:.1f} to {100 * high:.1f} %)" if low == low else "")


def _freezing(report: PublishedReport, curve: Curve | None) -> list[Claim]:
    what, score = "freezing depth with the highest validation score", "validation accuracy at that depth"
    wanted, published = int(report.freezing["depth"]), PublishedValue(float(report.freezing["value"]))
    if curve is None:
        why = "no study over freeze"
        return [
            Claim(what, str(wanted), "-", UNTESTED, why),
            Claim(score, _published(published), "-", UNTESTED, why),
        ]
    highest, theirs = curve.highest, next((d for d in curve.depths if d.freeze == wanted), None)
    others = f"{len(curve.not_excluded)} of {len(curve.depths) - 1} others are not shown to be worse"
    if theirs is None:
        depth = Claim(what, str(wanted), str(highest.freeze), UNTESTED, f"{wanted} was not tried")
    else:
        verdict = REPRODUCED if highest is theirs else NOT if theirs.clearly_lower else WITHIN
        others += "; one seed a depth" if curve.seeds < 2 else ""
        depth = Claim(what, str(wanted), str(highest.freeze), verdict, others)
    ends = highest.lower, highest.upper
    verdict = judge(published, report.half_an_image, highest.mean, ends)
    return [depth, Claim(score, _published(published), _words(highest.mean, *ends), verdict)]


def _settings(report: PublishedReport, searched: Searched | None) -> Claim:
    what, theirs = "settings with the highest validation score", _in_words(report.settings)
    if searched is None:
        return Claim(what, theirs, "-", UNTESTED, "no study of phase 1")
    if like_the_reports(report, searched.highest):
        verdict, why = REPRODUCED, f"a rate within a factor of {RATE_FACTOR:g} counts"
    elif searched.beats_the_reports is None:
        verdict, why = UNTESTED, "the report's settings were not tried"
    elif searched.beats_the_reports:
        verdict, why = NOT, "the report's settings score lower"
    else:
        verdict, why = WITHIN, "the report's settings cannot be told from them"
    return Claim(what, theirs, _in_words({k: searched.highest.get(k) for k in report.settings}), verdict, why)


def _in_words(settings: Mapping[str, object]) -> str:
    known = {key.rsplit(".", 1)[-1].replace("_", " "): value for key, value in settings.items() if value is not None}
    return ", ".join(
        f"{key} {value:.2g}" if isinstance(value, float) else f"{key} {value}" for key, value in known.items()
    )
