"""Metrics of many weightings at once against torchmetrics."""

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

from frostline.evaluation.weighted_metrics import WeightedMetrics
from frostline.task import LUNG


def some_predictions(seed: int, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [N, 3] with ties, mostly right, and classes [N]."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 3, images)
    scores = np.round(10 * (rng.random((images, 3)) + 0.8 * np.eye(3)[targets])) + 0.37
    return scores / scores.sum(1, keepdims=True), targets


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
