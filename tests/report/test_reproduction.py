"""The claim card: reproduced and not reproduced are shown, all else is inconclusive and says why."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from frostline.evaluation.depth_curve import Curve, freezing_curve
from frostline.evaluation.intervals import Interval
from frostline.evaluation.seeds import Repeats, repeat
from frostline.report.published import PublishedReport, of_counts, read_published
from frostline.report.reproduction import (
    INCONCLUSIVE,
    NOT,
    REPRODUCED,
    UNTESTED,
    Claim,
    Searched,
    conditions,
    errors_inside,
    judge,
    metric_claims,
    search_claims,
)
from frostline.task import LUNG
from tests.evaluation.test_metrics import REPORT, from_table

(PAPER,) = read_published()
SAME = {"model.weights": "imagenet", "data.split": "random", "data.image_size": 224, "freeze": 80}
SETTINGS = {"optimizer": "adamax", "optimizer.lr": 1.2e-4, "data.batch_size": 16}


def card_of(table: np.ndarray, paper: PublishedReport = PAPER, **without: object) -> dict[str, Claim]:
    """The card of one run with this confusion matrix, by what each row is about."""
    probabilities, targets = from_table(table)
    groups = np.arange(len(targets))
    found = {k: v for k, v in repeat([probabilities], targets, groups, LUNG, paper.metrics).items() if k not in without}
    inside = errors_inside(paper, probabilities[None], targets, groups)
    return {claim.what: claim for claim in metric_claims(paper, found, inside, SAME)}


def test_other_conditions_are_named() -> None:
    found = conditions(PAPER, SAME | {"model.weights": "chest_ct", "data.image_size": 64})
    assert (found.found, found.verdict) == ("weights chest_ct, image size 64", "other conditions")


def test_the_reports_own_table_is_too_few_images_to_reproduce_it() -> None:
    card = card_of(REPORT)
    assert card["conditions"].verdict == "the same"
    accuracy = card["accuracy"]
    assert (accuracy.report, accuracy.found) == ("94.12 % (89.2 to 96.9 %)", "94.1 % (89.2 to 96.9 %)")
    chance = "the report's own images are too few to show ±2 points"
    assert (accuracy.verdict, accuracy.why) == (INCONCLUSIVE, f"-5.6 to +5.6 points (95 %); {chance}")
    wide = card_of(REPORT, replace(PAPER, margin=0.06))["accuracy"]
    assert (wide.verdict, wide.why) == (REPRODUCED, "within ±6 points (-4.6 to +4.6, 90 %)")


def test_balanced_accuracy_is_worked_out_of_the_reports_matrix() -> None:
    row = card_of(REPORT)["balanced accuracy"]
    assert row.report.startswith("74.9 % (")
    assert row.report.endswith(" %), worked out")
    assert row.verdict == INCONCLUSIVE


@pytest.mark.parametrize(
    ("mean", "narrow", "interval", "verdict", "why"),
    [
        (0.94, (0.935, 0.945), (0.934, 0.946), REPRODUCED, "within ±2 points (-0.7 to +0.7, 90 %)"),
        (
            *(0.93, (0.925, 0.935), (0.924, 0.936), REPRODUCED),
            "lower here, but by less than the margin: within ±2 points (-1.7 to -0.3, 90 %)",
        ),
        (0.90, (0.89, 0.91), (0.885, 0.915), NOT, "lower here (-5.6 to -2.4 points, 95 %)"),
        (0.98, (0.97, 0.99), (0.965, 0.993), NOT, "higher here (+2.4 to +5.4 points, 95 %)"),
        (
            *(0.94, (0.92, 0.96), (0.915, 0.965), INCONCLUSIVE),
            "-2.6 to +2.6 points (95 %); were both the same, less than 1 % of such data would show ±2 points",
        ),
        (
            *(0.93, (0.918, 0.942), (0.915, 0.945), INCONCLUSIVE),
            "-2.6 to +0.6 points (95 %); were both the same, 62 % of such data would show ±2 points",
        ),
    ],
)
def test_a_value_is_judged_by_both_intervals_of_the_difference(
    mean: float, narrow: Interval, interval: Interval, verdict: str, why: str
) -> None:
    published = Repeats((0.94,), (0.934, 0.946), (0.935, 0.945))
    assert judge(Repeats((mean,), interval, narrow), published, 0.02) == (verdict, why)


def test_what_has_no_interval_is_inconclusive_and_never_lower() -> None:
    nothing = Repeats((0.5,), (math.nan, math.nan))
    assert judge(nothing, of_counts(144, 153), 0.02) == (INCONCLUSIVE, "no interval")
    assert judge(Repeats((math.nan,), (0.4, 0.6)), of_counts(144, 153), 0.02) == (INCONCLUSIVE, "no interval")
    unknown = "of how many images the report's value is, it does not say"
    assert judge(of_counts(144, 153), nothing, 0.02) == (INCONCLUSIVE, unknown)


def test_seventeen_perfect_images_reproduce_nothing() -> None:
    verdict, why = judge(of_counts(17, 17), of_counts(105, 105), 0.02)
    assert verdict == INCONCLUSIVE
    assert "less than 1 % of such data" in why


def test_errors_elsewhere_count_as_a_share_of_images() -> None:
    what = "right, or confused between benign and normal"
    row = card_of(REPORT)[what]
    assert (row.report, row.found) == ("100 % (97.6 to 100.0 %)", "100.0 % (97.6 to 100.0 %)")
    one, many = REPORT.copy(), REPORT.copy()
    one[1, 0] += 1
    many[1, 0] += 12
    assert card_of(one)[what].verdict == INCONCLUSIVE  # 1 of 154 is no more than chance makes of none
    assert (card_of(many)[what].verdict, card_of(many)[what].why[:10]) == (NOT, "lower here")


def test_a_metric_that_the_runs_lack_is_not_testable() -> None:
    row = card_of(REPORT, **{"malignant/specificity": None})["malignant: specificity"]
    assert (row.found, row.verdict, row.why) == ("-", UNTESTED, "these runs do not have it")


def test_what_was_not_run_is_not_testable_and_says_why() -> None:
    card = search_claims(PAPER, None, None, {})
    assert {c.verdict for c in card} == {UNTESTED}
    assert [c.why for c in card] == [
        "no study of phase 1 that maximises val/acc",
        "no study over freeze that maximises val/acc",
        "no study over freeze that maximises val/acc",
        "no run of efficientnet_b3 was tested",
    ]
    assert card[-1].report == "94.8 % (90.0 to 97.3 %)"


def curve_of(wrong: dict[int, int], seeds: int = 3) -> Curve:
    """A curve over depths with so many of the report's right images wrong, the same with every seed."""
    probabilities, targets = from_table(REPORT)
    right = np.flatnonzero(probabilities.argmax(1) == targets)
    runs = {}
    for depth, errors in wrong.items():
        worse = probabilities.copy()
        worse[right[:errors]] = worse[right[:errors]][:, [1, 2, 0]]
        runs[depth] = [worse] * seeds
    return freezing_curve(runs, targets, np.arange(len(targets)), LUNG)


@pytest.mark.parametrize(
    ("wrong", "seeds", "found", "verdict", "why"),
    [
        ({40: 60, 80: 0, 120: 70}, 3, "80", REPRODUCED, "each of the 2 others is shown to be worse"),
        (
            *({40: 1, 80: 0, 120: 70}, 3, "80", INCONCLUSIVE),
            "the highest here too, but 1 of 2 others are not shown to be worse",
        ),
        ({40: 0, 80: 1}, 3, "40", INCONCLUSIVE, "the report's is not shown to be worse than the best here"),
        ({40: 0, 80: 60}, 3, "40", NOT, "the report's is shown to be worse than the best here"),
        (
            *({40: 60, 80: 0}, 1, "80", INCONCLUSIVE),
            "how much chance moves them takes two seeds of each or more to know, on the same images",
        ),
        ({40: 60, 120: 0}, 3, "120", UNTESTED, "80 was not tried"),
    ],
)
def test_that_a_depth_is_highest_is_reproduced_only_if_shown(
    wrong: dict[int, int], seeds: int, found: str, verdict: str, why: str
) -> None:
    depth, score = search_claims(PAPER, curve_of(wrong, seeds), None, {})[1:3]
    assert (depth.found, depth.verdict, depth.why) == (found, verdict, why)
    assert score.verdict == (UNTESTED if verdict == UNTESTED else INCONCLUSIVE)


def test_the_score_of_the_reports_depth_is_that_of_the_same_depth_here() -> None:
    score = search_claims(PAPER, curve_of({40: 0, 80: 60}), None, {})[2]
    assert (score.what, score.report) == ("validation score at 80 frozen layers", "94.7 %")
    assert score.found.startswith("54.9 % (")  # 84 of 153, not the 144 of the highest
    assert "highest of several" in score.why


def test_settings_are_reproduced_only_if_all_others_are_shown_to_be_worse() -> None:
    curve = curve_of({0: 60, 1: 0, 2: 1})
    one, two = (search_claims(PAPER, None, Searched(SETTINGS, True, curve, like), {})[0] for like in ([1], [1, 2]))
    assert one.found == "optimizer adamax, lr 0.00012, batch size 16"
    assert (one.verdict, two.verdict) == (INCONCLUSIVE, REPRODUCED)  # 2 is theirs too: a rate within a factor of 2
    assert two.why == "each of the 1 others is shown to be worse; a rate within a factor of 2 counts as the same"
    assert search_claims(PAPER, None, Searched(SETTINGS, True, curve, [0]), {})[0].verdict == NOT


def test_settings_with_one_seed_each_show_nothing() -> None:
    for settings, also in ((SETTINGS, "the same"), (SETTINGS | {"optimizer": "adam"}, "others")):
        row = search_claims(PAPER, None, Searched(settings, True), {})[0]
        assert row.verdict == INCONCLUSIVE
        assert row.why.startswith(f"{also} are highest here, but how much chance moves them takes two seeds of each")
    row = search_claims(PAPER, None, Searched(SETTINGS, False), {})[0]
    assert (row.verdict, row.why) == (UNTESTED, "the report's settings were not tried")
