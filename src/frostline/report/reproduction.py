"""The claim card: the figures of the report that frostline reproduces, beside those of one's own runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from frostline.config.schema import CLASSES
from frostline.evaluation.depth_curve import Curve
from frostline.evaluation.intervals import Interval, wilson
from frostline.evaluation.seeds import Repeats, subtract
from frostline.evaluation.weighted_metrics import MALIGNANT

REPRODUCED, WITHIN, NOT, UNTESTED = "reproduced", "within the interval", "not reproduced", "not testable here"
FIGURES = {
    "accuracy": ("acc", 0.9412),
    "precision, weighted": ("precision_weighted", 0.9334),
    "recall, weighted": ("recall_weighted", 0.9412),
    "F1, weighted": ("f1_weighted", 0.9332),
    "malignant: precision": ("malignant/precision", 1.0),
    "malignant: recall": ("malignant/recall", 1.0),
}
KNOWN = {"acc": wilson(144, 153), "recall_weighted": wilson(144, 153), "malignant/recall": wilson(105, 105),
         "malignant/precision": wilson(105, 105)}  # fmt: skip  # of the report's counts; the others' cannot be known
HALF_AN_IMAGE = 0.5 / 153  # the report's figures are no finer than this


@dataclass(frozen=True)
class Claim:
    """A row: what the report says, what was found, and whether they agree."""

    what: str
    report: str
    found: str
    verdict: str
    why: str = ""


def judge(report: float, of_report: Interval, mean: float, interval: Interval) -> str:
    """`reproduced` when the figures are the same to half an image of the report's test set, else by the difference.

    Within the interval: that of the difference, for which the report's own interval counts too, holds 0.
    """
    if abs(mean - report) <= HALF_AN_IMAGE:
        return REPRODUCED
    difference, (low, high) = subtract(mean, interval, report, of_report)
    if low <= 0 <= high:
        return WITHIN
    return f"{NOT}, {'higher' if difference > 0 else 'lower'} here"


def conditions(options: Mapping[str, object]) -> Claim:
    """Whether a configuration was trained and tested as the report's was."""
    theirs = {"model.weights": "imagenet", "data.split": "random", "data.image_size": 224, "freeze": 80}
    other = [f"{k.split('.')[-1]} {options.get(k)}" for k, v in theirs.items() if options.get(k) != v]
    words = "weights imagenet, split random, 224 px, freeze 80"
    return Claim("conditions", words, ", ".join(other) or words, "other conditions" if other else "the same")


def figure_claims(tested: Mapping[str, Repeats], matrix: np.ndarray, options: Mapping[str, object]) -> list[Claim]:
    """Rows of one configuration of ResNet101 on the test set; `matrix` is its confusion matrix, rows true."""
    card = [conditions(options)]
    for what, (key, value) in FIGURES.items():
        of_report = KNOWN.get(key, (value, value))
        report = f"{100 * value:.2f} %"
        if key in KNOWN:
            report += f" ({100 * of_report[0]:.1f} to {100 * of_report[1]:.1f} %)"
        card.append(_figure(what, report, value, of_report, tested[key]))
    i = CLASSES.index(MALIGNANT)
    errors, confused = matrix.sum() - np.trace(matrix), matrix[i].sum() + matrix[:, i].sum() - 2 * matrix[i, i]
    expected = "between benign and normal only"
    if not errors:
        return [*card, Claim("errors", expected, "none", WITHIN)]
    found = "malignant is confused too" if confused else expected
    return [*card, Claim("errors", expected, found, NOT if confused else REPRODUCED)]


@dataclass(frozen=True)
class Searched:
    """What phase 1 came to: the settings with the highest score, and whether they beat the report's."""

    highest: Mapping[str, object]
    beats_the_reports: bool | None
    """Whether a difference to a trial with the report's settings is shown; None when there was no such trial."""


def like_the_reports(settings: Mapping[str, object]) -> bool:
    """Whether settings are those that the report found, a learning rate within a factor of two counting as the same."""
    rate = settings.get("optimizer.lr")
    near = isinstance(rate, float) and 0.5 < rate / 8.7e-5 < 2
    return near and settings.get("optimizer") == "adamax" and settings.get("data.batch_size") == 16


def search_claims(curve: Curve | None, searched: Searched | None, sister: Mapping[str, Repeats] | None) -> list[Claim]:
    """Rows of the two phases, and of EfficientNetB3 on the test set; what is None was not run."""
    what, value = "EfficientNetB3: accuracy", 0.948
    if sister is None:
        other = Claim(what, f"{100 * value:.1f} %", "-", UNTESTED, "no run of efficientnet_b3 was tested")
    else:
        other = _figure(what, f"{100 * value:.1f} %", value, (value, value), sister["acc"])
    return [_settings(searched), *_freezing(curve), other]


def _figure(what: str, report: str, value: float, of_report: Interval, found: Repeats) -> Claim:
    low, high = found.interval
    return Claim(what, report, _words(found.mean, low, high), judge(value, of_report, found.mean, (low, high)))


def _words(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f} %" + (f" ({100 * low:.1f} to {100 * high:.1f} %)" if low == low else "")


def _freezing(curve: Curve | None) -> list[Claim]:
    what, score = "freezing depth with the highest validation score", "validation accuracy at that depth"
    if curve is None:
        why = "no study over freeze"
        return [Claim(what, "80", "-", UNTESTED, why), Claim(score, "94.7 %", "-", UNTESTED, why)]
    highest, at_80 = curve.highest, next((d for d in curve.depths if d.freeze == 80), None)
    others = f"{len(curve.not_excluded)} of {len(curve.depths) - 1} others cannot be told from it"
    if at_80 is None:
        depth = Claim(what, "80", str(highest.freeze), UNTESTED, "80 was not tried")
    else:
        verdict = REPRODUCED if highest is at_80 else NOT if at_80.clearly_lower else WITHIN
        others += "; one seed a depth" if curve.seeds < 2 else ""
        depth = Claim(what, "80", str(highest.freeze), verdict, others)
    found = _words(highest.mean, highest.lower, highest.upper)
    return [
        depth,
        Claim(score, "94.7 %", found, judge(0.947, (0.947, 0.947), highest.mean, (highest.lower, highest.upper))),
    ]


def _settings(searched: Searched | None) -> Claim:
    what, report = "settings with the highest validation score", "Adamax, 8.7e-05, batch 16"
    if searched is None:
        return Claim(what, report, "-", UNTESTED, "no study of phase 1")
    optimizer, rate, batch = (searched.highest.get(k) for k in ("optimizer", "optimizer.lr", "data.batch_size"))
    words = [str(optimizer)] if optimizer else []
    words += [f"{rate:.2g}"] if isinstance(rate, float) else []
    words += [f"batch {batch}"] if batch else []
    if like_the_reports(searched.highest):
        verdict, why = REPRODUCED, "a rate within a factor of two counts"
    elif searched.beats_the_reports is None:
        verdict, why = UNTESTED, "the report's settings were not tried"
    elif searched.beats_the_reports:
        verdict, why = NOT, "the report's settings score lower"
    else:
        verdict, why = WITHIN, "the report's settings cannot be told from them"
    return Claim(what, report, ", ".join(words), verdict, why)
