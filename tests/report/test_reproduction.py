"""The claim card: what counts as reproduced, and what is not testable."""

from __future__ import annotations

import numpy as np
import pytest

from frostline.evaluation.depth_curve import freezing_curve
from frostline.evaluation.seeds import repeat
from frostline.report.published import PublishedValue, read_published
from frostline.report.reproduction import (
    NOT,
    REPRODUCED,
    UNTESTED,
    WITHIN,
    Searched,
    conditions,
    judge,
    metric_claims,
    search_claims,
)
from frostline.task import LUNG
from tests.evaluation.test_metrics import REPORT, from_table

(PAPER,) = read_published()
SAME = {"model.weights": "imagenet", "data.split": "random", "data.image_size": 224, "freeze": 80}


def test_other_conditions_are_named() -> None:
    found = conditions(PAPER, SAME | {"model.weights": "chest_ct", "data.image_size": 64})
    assert (found.found, found.verdict) == ("weights chest_ct, image size 64", "other conditions")


def test_the_reports_own_table_reproduces_every_figure() -> None:
    probabilities, targets = from_table(REPORT)
    found = repeat([probabilities], targets, np.arange(len(targets)), LUNG, PAPER.metrics)
    card = metric_claims(PAPER, LUNG, found, REPORT, SAME)
    assert [c.verdict for c in card] == ["the same", *[REPRODUCED] * 7]
    card = card[1:]
    assert card[0].report == "94.12 % (89.2 to 96.9 %)"
    assert card[0].found.startswith("94.1 % (")
    assert card[4].found.startswith("100.0 % (96.5 to 100.0 %)")  # no draw can tell, Wilson's interval can


@pytest.mark.parametrize(
    ("mean", "interval", "expected"),
    [
        (0.9412, (0.9, 0.97), REPRODUCED),
        (0.9440, (0.943, 0.97), REPRODUCED),  # less than half an image of 153
        (0.92, (0.9, 0.95), WITHIN),
        (0.97, (0.948, 0.983), WITHIN),  # 388 of 400: the report's 153 images leave as much open
        (0.995, (0.99, 0.999), f"{NOT}, higher here"),
        (0.85, (0.8, 0.88), f"{NOT}, lower here"),
    ],
)
def test_a_figure_is_judged_by_the_interval_of_the_difference(
    mean: float, interval: tuple[float, float], expected: str
) -> None:
    assert judge(PublishedValue(0.9412, (144, 153)), 0.5 / 153, mean, interval) == expected


def test_errors_are_judged_by_what_is_confused() -> None:
    probabilities, targets = from_table(REPORT)
    found = repeat([probabilities], targets, np.arange(len(targets)), LUNG, PAPER.metrics)
    matrix = REPORT.copy()
    matrix[1, 0] += 1
    assert metric_claims(PAPER, LUNG, found, matrix, SAME)[-1].verdict == NOT
    assert metric_claims(PAPER, LUNG, found, np.diag([10, 105, 38]), SAME)[-1].found == "none"


def test_what_was_not_run_is_not_testable_and_says_why() -> None:
    card = search_claims(PAPER, None, None, {}, LUNG)
    assert {c.verdict for c in card} == {UNTESTED}
    assert [c.why for c in card] == [
        "no study of phase 1",
        "no study over freeze",
        "no study over freeze",
        "no run of efficientnet_b3 was tested",
    ]


def test_the_depth_is_within_when_80_cannot_be_told_from_the_highest() -> None:
    probabilities, targets = from_table(REPORT)
    worse = probabilities.copy()
    worse[:3] = worse[:3, [1, 2, 0]]
    runs = {40: [probabilities], 80: [worse]}
    curve = freezing_curve(runs, targets, np.arange(len(targets)), LUNG)
    settings = {"optimizer": "adamax", "optimizer.lr": 1.2e-4, "data.batch_size": 16}
    phase1, depth, _, _ = search_claims(PAPER, curve, Searched(settings, None), {}, LUNG)
    assert (phase1.verdict, phase1.found) == (REPRODUCED, "optimizer adamax, lr 0.00012, batch size 16")
    assert (depth.found, depth.verdict) == ("40", WITHIN)


@pytest.mark.parametrize(
    ("beats", "verdict", "why"),
    [
        (True, NOT, "the report's settings score lower"),
        (False, WITHIN, "the report's settings cannot be told from them"),
        (None, UNTESTED, "the report's settings were not tried"),
    ],
)
def test_other_settings_are_judged_by_the_trial_with_the_reports(beats: bool | None, verdict: str, why: str) -> None:
    settings = {"optimizer": "adam", "optimizer.lr": 8.7e-5, "data.batch_size": 16}
    phase1 = search_claims(PAPER, None, Searched(settings, beats), {}, LUNG)[0]
    assert (phase1.found, phase1.verdict, phase1.why) == ("optimizer adam, lr 8.7e-05, batch size 16", verdict, why)
