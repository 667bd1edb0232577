"""Intervals against their formula, against repeated images, and against data whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_specificity,
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from frostline.evaluation.intervals import bootstrap, proportion_interval, resample, wilson
from frostline.evaluation.metrics import WeightedMetrics, evaluate
from frostline.task import LUNG


def some_predictions(seed: int, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [N, 3] with ties, mostly right, and classes [N]."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 3, images)
    scores = np.round(10 * (rng.random((images, 3)) + 0.8 * np.eye(3)[targets])) + 0.37
    return scores / scores.sum(1, keepdims=True), targets


@pytest.mark.parametrize(("right", "total"), [(144, 153), (0, 7), (7, 7), (1, 2)])
def test_wilson_is_its_formula(right: int, total: int) -> None:
    z, p = 1.959963984540054, right / total
    centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    assert wilson(right, total) == pytest.approx((centre - half, centre + half), abs=1e-12)


def test_an_interval_without_trials_says_nothing() -> None:
    assert wilson(0, 0) == proportion_interval(np.array([], bool), np.array([])) == (0.0, 1.0)


def by_torchmetrics(probabilities: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """The same figures from another hand."""
    p, t = torch.tensor(probabilities), torch.tensor(targets)
    found = {
        "acc": multiclass_accuracy(p, t, 3, average="micro"),
        "balanced_acc": multiclass_accuracy(p, t, 3, average="macro"),
        "calibration_error": multiclass_calibration_error(p, t, 3, n_bins=15),
        "loss": torch.nn.functional.nll_loss(p.log(), t),
        "malignant/specificity": binary_specificity((p.argmax(1) == 1).long(), (t == 1).long()),
    }
    for name, figure in (
        ("precision", multiclass_precision),
        ("recall", multiclass_recall),
        ("f1", multiclass_f1_score),
    ):
        for average in ("weighted", "macro"):
            found[f"{name}_{average}"] = figure(p, t, 3, average=average)
        for i, value in enumerate(figure(p, t, 3, average="none")):
            found[f"{LUNG.classes[i]}/{name}"] = value
    for i, name in enumerate(LUNG.classes):
        if 0 < (t == i).sum() < len(t):
            found[f"{name}/auroc"] = binary_auroc(p[:, i], (t == i).long())
    return {name: float(value) for name, value in found.items()}


@given(seed=st.integers(0, 999), images=st.integers(6, 40))
def test_figures_are_those_of_torchmetrics_and_an_image_may_count_twice(seed: int, images: int) -> None:
    probabilities, targets = some_predictions(seed, images)
    counts = np.random.default_rng(seed).integers(0, 3, images)
    counts[0] += 1
    repeated = np.repeat(np.arange(images), counts)
    found = WeightedMetrics(probabilities, targets, LUNG)(counts[None])
    for name, expected in by_torchmetrics(probabilities[repeated], targets[repeated]).items():
        (value,) = found[name]
        if math.isnan(value):  # of a class that is not there torchmetrics says 0
            assert len(np.unique(targets[repeated])) < 3
        else:
            assert value == pytest.approx(expected, abs=1e-5), name


def test_independent_images_have_wilsons_interval() -> None:
    right = np.arange(20) < 15
    assert proportion_interval(right, np.arange(20)) == wilson(15, 20)


def test_copies_of_images_make_no_interval_narrower() -> None:
    right = np.arange(20) < 15
    alone = proportion_interval(right, np.arange(20))
    copied = proportion_interval(np.repeat(right, 10), np.repeat(np.arange(20), 10))
    assert copied[0] <= alone[0] + 1e-9
    assert copied[1] >= alone[1] - 1e-9
    assert proportion_interval(np.ones(200, bool), np.repeat(np.arange(20), 10)) == wilson(20, 20)


def test_the_interval_holds_the_truth_where_patients_differ_and_wilsons_does_not() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    held = naive = 0
    for _ in range(400):
        right = rng.random(200) < np.repeat(rng.beta(1.6, 0.4, 40), 5)  # 0.8 on average, each patient its own
        low, high = proportion_interval(right, groups)
        held += low <= 0.8 <= high
        low, high = wilson(int(right.sum()), 200)
        naive += low <= 0.8 <= high
    assert held / 400 > 0.93
    assert naive / 400 < 0.85


def test_whole_groups_are_drawn_and_as_many_as_there_are() -> None:
    groups = np.array(["b", "a", "b", "c"])
    counts = np.concatenate(list(resample(groups, repeats=600)))
    assert counts.shape == (600, 4)
    assert (counts[:, 0] == counts[:, 2]).all()
    assert (counts[:, [0, 1, 3]].sum(1) == 3).all()
    assert counts.mean(0) == pytest.approx(np.ones(4), abs=0.15)


def test_the_bootstrap_holds_the_truth_of_what_is_no_proportion() -> None:
    pool, truth = some_predictions(1, 20_000)
    expected = WeightedMetrics(pool, truth, LUNG)(np.ones((1, len(truth))))
    held = dict.fromkeys(("f1_macro", "auroc_macro", "balanced_acc", "loss"), 0)
    rng = np.random.default_rng(0)
    for _ in range(100):
        drawn = np.repeat(rng.choice(len(truth), 75), 2)  # every image twice: 75 groups
        found = bootstrap(WeightedMetrics(pool[drawn], truth[drawn], LUNG), np.repeat(np.arange(75), 2), repeats=500)
        for name in held:
            low, high = found[name]
            held[name] += low <= expected[name][0] <= high
    assert min(held.values()) >= 88, held


def test_a_statistic_that_cannot_vary_has_no_bootstrap_interval() -> None:
    targets = np.array([0, 1, 2] * 4)
    found = bootstrap(WeightedMetrics(np.eye(3)[targets], targets, LUNG), np.arange(12))
    assert all(math.isnan(end) for end in found["malignant/auroc"])
    m = evaluate("test", np.eye(3)[targets], targets, LUNG)
    assert (m["test/acc/lower"], m["test/acc/upper"]) == wilson(12, 12)


def test_every_figure_stands_within_its_interval() -> None:
    probabilities, targets = some_predictions(3, 90)
    groups = np.array([str(i // 3) for i in range(90)])
    m = evaluate("test", probabilities, targets, LUNG, groups)
    assert m["test/groups"] == 30
    bounded = [key.removesuffix("/lower") for key in m if key.endswith("/lower")]
    figures = {
        k for k in m if not k.endswith(("/lower", "/upper", "support", "predicted", "images", "correct", "groups"))
    }
    assert set(bounded) == figures
    for key in bounded:
        if key != "test/calibration_error":
            assert m[f"{key}/lower"] <= m[key] <= m[f"{key}/upper"], key


def test_of_a_calibrated_network_the_calibration_error_is_too_high_and_the_overconfidence_is_not() -> None:
    rng = np.random.default_rng(0)
    errors, over, held = [], [], 0
    for _ in range(40):
        confidence = rng.uniform(0.5, 1.0, 60)
        right = rng.random(60) < confidence
        probabilities = np.stack([confidence, 1 - confidence, np.zeros(60)], axis=1)
        found = evaluate("test", probabilities, np.where(right, 0, 2), LUNG)
        errors.append(found["test/calibration_error"])
        over.append(found["test/overconfidence"])
        assert math.isnan(found["test/calibration_error/lower"])
        held += found["test/overconfidence/lower"] <= 0 <= found["test/overconfidence/upper"]
    assert np.mean(errors) > 0.05  # the truth is 0
    assert abs(np.mean(over)) < 0.03
    assert held >= 35
