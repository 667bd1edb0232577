"""The claim card: what a published report says, beside one's own runs on the same data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from frostline.evaluation.catalog import named_metrics
from frostline.evaluation.depth_curve import Curve
from frostline.evaluation.equivalence import compare_to_margin
from frostline.evaluation.seeds import Repeats, repeat
from frostline.report.published import PublishedReport, PublishedValue, of_counts
from frostline.task import Task
from frostline.text import interval, number, percent

REPRODUCED, NOT, INCONCLUSIVE, UNTESTED = "reproduced", "not reproduced", "inconclusive", "not testable here"
CHANCE = "how much chance moves them takes two seeds of each or more to know, on the same images"
RATE_FACTOR = 2.0  # a learning rate within it counts as the same


@dataclass(frozen=True)
class Claim:
    """A row: what the report says, what was found, whether they agree, and by what that is judged."""

    what: str
    report: str
    found: str
    verdict: str
    why: str = ""


def judge(ours: Repeats, published: Repeats, margin: float) -> tuple[str, str]:
    """Verdict on a value, 0..1, and what it rests on.

    `reproduced`: shown to lie within `margin` of the published value; `not reproduced`: shown to differ from it, and
    not shown to lie within; else `inconclusive`, with the chance that such data had to show it.
    """
    found = compare_to_margin(ours, published, margin)
    within = f"±{100 * margin:g} points"
    if not found.known:
        unknown = any(end != end for end in published.narrow)
        return INCONCLUSIVE, "of how many images the report's value is, it does not say" if unknown else "no interval"
    side = "higher" if found.difference > 0 else "lower"
    if found.shown_equivalent:
        other = f"{side} here, but by less than the margin: " if found.shown_different else ""
        return REPRODUCED, f"{other}within {within} ({_points(found.narrow)}, 90 %)"
    if found.shown_different:
        return NOT, f"{side} here ({_points(found.interval)} points, 95 %)"
    low, high = published.narrow
    if high - low > 2 * margin:
        chance = f"the report's own images are too few to show {within}"
    else:
        power = f"{100 * found.power:.0f} %" if found.power >= 0.01 else "less than 1 %"
        chance = f"were both the same, {power} of such data would show {within}"
    return INCONCLUSIVE, f"{_points(found.interval)} points (95 %); {chance}"


def _points(ends: tuple[float, float]) -> str:
    return f"{100 * ends[0]:+.1f} to {100 * ends[1]:+.1f}"


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
    tested: Mapping[str, Repeats],
    inside: Repeats,
    options: Mapping[str, object],
) -> list[Claim]:
    """Rows of one configuration of the report's model on the test set; `inside` is what `errors_inside` gives."""
    card = [conditions(report, options)]
    for key, published in report.metrics.items():
        card.append(_metric(report, key, published, tested.get(key), "these runs do not have it"))
    if report.errors_between:
        images = report.test["images"]
        what = f"right, or confused between {' and '.join(report.errors_between)}"
        card.append(_value(report, what, PublishedValue(1.0, of_counts(images, images)), inside))
    return card


def errors_inside(report: PublishedReport, runs: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> Repeats:
    """Share of images that are right or confused between classes of `errors_between`, over seeds.

    `runs` are probabilities [seeds, N, C], `targets` classes [N], `groups` [N]. It is the accuracy of a task in which
    these classes are one.
    """
    merged = np.array([0 if name in report.errors_between else 1 + i for i, name in enumerate(report.classes)])
    names = tuple(str(i) for i in range(1 + len(report.classes)))
    said = np.eye(len(names))[merged[runs.argmax(2)]]
    return repeat([*said], merged[targets], groups, Task(names), ["acc"])["acc"]


@dataclass(frozen=True)
class Searched:
    """What phase 1 came to."""

    highest: Mapping[str, object]
    """The settings with the highest score."""
    tried: bool
    """Whether the report's settings were tried."""
    curve: Curve | None = None
    """All settings that were tried, numbered in place of depths; None where one has a single seed, or other images."""
    theirs: Collection[int] = ()
    """Those in it that are the report's."""


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
) -> list[Claim]:
    """Rows of the two phases, and of sister models on the test set by name; what is None was not run."""
    rows = [_settings(report, searched)] if report.settings else []
    rows += _freezing(report, curve) if report.freezing else []
    for model, metrics in report.sisters.items():
        for key, published in metrics.items():
            ours = sisters.get(model, {}).get(key)
            rows.append(_metric(report, key, published, ours, f"no run of {model} was tested", model))
    return rows


def _metric(
    report: PublishedReport, key: str, published: PublishedValue, ours: Repeats | None, without: str, model: str = ""
) -> Claim:
    named = next(m for m in named_metrics(report.task) if m.key == key)
    as_percent, what = named.metric.percent, f"{model}: {named.label}" if model else named.label
    if ours is None:
        return Claim(what, _published(published, as_percent), "-", UNTESTED, without)
    return _value(report, what, published, ours, as_percent)


def _value(
    report: PublishedReport, what: str, published: PublishedValue, ours: Repeats, as_percent: bool = True
) -> Claim:
    found = f"{number(ours.mean, as_percent)} ({interval(*ours.interval, as_percent)})"
    return Claim(what, _published(published, as_percent), found, *judge(ours, published.sampled, report.margin))


def _published(published: PublishedValue, as_percent: bool = True) -> str:
    if not published.stated:
        text = number(published.value, as_percent)
    elif as_percent:
        text = f"{100 * published.value:.2f}".rstrip("0").rstrip(".") + " %"
    else:
        text = f"{published.value:g}"
    low, high = published.sampled.interval
    text += f" ({interval(low, high, as_percent)})" if low == low else ""
    return text if published.stated else f"{text}, worked out"


def _freezing(report: PublishedReport, curve: Curve | None) -> list[Claim]:
    wanted, value = int(report.freezing["depth"]), percent(float(report.freezing["value"]))
    what, score = "freezing depth with the highest validation score", f"validation score at {wanted} frozen layers"
    theirs = None if curve is None else next((d for d in curve.depths if d.freeze == wanted), None)
    if curve is None or theirs is None:
        why = f"no study over freeze that maximises {report.objective}" if curve is None else f"{wanted} was not tried"
        highest = "-" if curve is None else str(curve.highest.freeze)
        return [Claim(what, str(wanted), highest, UNTESTED, why), Claim(score, value, "-", UNTESTED, why)]
    here = f"{percent(theirs.mean)} ({interval(*theirs.interval)})"
    chosen = "the report's is the highest of several, so too high by some luck, and it does not say of how many images"
    return [
        Claim(what, str(wanted), str(curve.highest.freeze), *_best(curve, [wanted])),
        Claim(score, value, here, INCONCLUSIVE, chosen),
    ]


def _best(curve: Curve, theirs: Collection[int]) -> tuple[str, str]:
    """Whether one of `theirs` is best: shown when all others are shown to be worse, refuted when all of them are."""
    others = [d for d in curve.depths if d.freeze not in theirs]
    ahead = [d for d in others if not d.worse]
    if curve.seeds < 2:
        return INCONCLUSIVE, CHANCE
    if curve.highest.freeze in theirs and not ahead:
        return REPRODUCED, f"each of the {len(others)} others is shown to be worse"
    if all(d.worse and not d.no_worse for d in curve.depths if d.freeze in theirs):
        return NOT, "the report's is shown to be worse than the best here"
    if curve.highest.freeze in theirs:
        return INCONCLUSIVE, f"the highest here too, but {len(ahead)} of {len(others)} others are not shown to be worse"
    return INCONCLUSIVE, "the report's is not shown to be worse than the best here"


def _settings(report: PublishedReport, searched: Searched | None) -> Claim:
    what, theirs = "settings with the highest validation score", _in_words(report.settings)
    if searched is None:
        return Claim(what, theirs, "-", UNTESTED, f"no study of phase 1 that maximises {report.objective}")
    found = _in_words({k: searched.highest.get(k) for k in report.settings})
    if not searched.tried:
        return Claim(what, theirs, found, UNTESTED, "the report's settings were not tried")
    if searched.curve is None:
        also = "the same are highest here" if like_the_reports(report, searched.highest) else "others are highest here"
        return Claim(what, theirs, found, INCONCLUSIVE, f"{also}, but {CHANCE}")
    verdict, why = _best(searched.curve, searched.theirs)
    return Claim(what, theirs, found, verdict, f"{why}; a rate within a factor of {RATE_FACTOR:g} counts as the same")


def _in_words(settings: Mapping[str, object]) -> str:
    known = {key.rsplit(".", 1)[-1].replace("_", " "): value for key, value in settings.items() if value is not None}
    return ", ".join(
        f"{key} {value:.2g}" if isinstance(value, float) else f"{key} {value}" for key, value in known.items()
    )
