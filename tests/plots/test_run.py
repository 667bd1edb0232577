"""The images of a run are written whole, for whatever the run was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frostline.evaluation.calibration import reliability, scale
from frostline.evaluation.decision_curve import decision_curve
from frostline.evaluation.operating_point import curves, evaluate_tuned, tune
from frostline.plots.decision import plot_decision_curve
from frostline.plots.run import plot_confusion_matrix, plot_curves, plot_operating
from frostline.plots.style import write_png
from frostline.task import LUNG


def history(epochs: int) -> list[dict[str, float]]:
    return [
        {
            "epoch": e,
            "train/loss": 1.1 * 0.8**e,
            "val/loss": 1.0 * 0.85**e + 0.01 * e,
            "train/acc": 1 - 0.6 * 0.8**e,
            "val/acc": 1 - 0.55 * 0.85**e - 0.01 * (e % 3),
        }
        for e in range(epochs)
    ]


def colours(file: Path) -> int:
    """Number of colours of an image that must be a whole PNG."""
    with Image.open(file) as image:
        assert image.format == "PNG"
        image.load()
        assert min(image.size) >= 300
        return len(image.convert("RGB").getcolors(1 << 24) or [])


@pytest.mark.parametrize("epochs", [1, 10])
def test_curves_are_a_image(epochs: int, tmp_path: Path) -> None:
    write_png(plot_curves(history(epochs), best_epoch=epochs - 1, interval=(0.5, 0.9)), tmp_path / "curves.png")
    assert colours(tmp_path / "curves.png") > 20
    assert [f.name for f in tmp_path.iterdir()] == ["curves.png"]


@pytest.mark.parametrize("matrix", [[[3, 0, 7], [0, 105, 0], [2, 0, 36]], [[0, 0, 0], [0, 1, 0], [0, 0, 0]]])
def test_a_confusion_matrix_is_a_image_even_without_a_class(matrix: list[list[int]], tmp_path: Path) -> None:
    write_png(
        plot_confusion_matrix(np.array(matrix), LUNG.classes, "test set, 153 images, accuracy 94.1%"),
        tmp_path / "matrix.png",
    )
    assert colours(tmp_path / "matrix.png") > 20
    assert [f.name for f in tmp_path.iterdir()] == ["matrix.png"]


def test_a_loss_that_is_no_number_does_not_stop_the_image(tmp_path: Path) -> None:
    rows = history(3)
    rows[1]["val/loss"] = float("nan")
    write_png(plot_curves(rows, best_epoch=0, interval=(0.0, 1.0)), tmp_path / "curves.png")
    assert colours(tmp_path / "curves.png") > 20


def test_operating_point_and_calibration_are_a_image(tmp_path: Path) -> None:
    targets = np.arange(60) % 3
    scores = np.random.default_rng(0).dirichlet(np.ones(3), 60) + np.eye(3)[targets]
    scores /= scores.sum(1, keepdims=True)
    groups = np.arange(60) // 2
    found = evaluate_tuned("test", scores, targets, LUNG, groups, tune(scores, targets, LUNG, 0.9))
    point = {key.removeprefix("test/operating/"): value for key, value in found.items()}
    bins = {
        "as trained": reliability(scores, targets, groups),
        "scaled": reliability(scale(scores, 2.0), targets, groups),
    }
    write_png(
        plot_operating("malignant", curves(scores[:, 1], targets == 1), point, bins, "test set, 60 images"),
        tmp_path / "operating.png",
    )
    assert colours(tmp_path / "operating.png") > 20
    assert sum(b.images for b in bins["scaled"]) == 60


@pytest.mark.parametrize("groups", [2, 30])
def test_a_decision_curve_is_a_image_with_a_band_or_without(groups: int, tmp_path: Path) -> None:
    scores = np.random.default_rng(0).random(60)
    curve = decision_curve(scores, scores + 0.3 > np.arange(60) / 60, np.arange(60) % groups)
    write_png(plot_decision_curve("malignant", curve, "test set, 60 images"), tmp_path / "decision_curve.png")
    assert colours(tmp_path / "decision_curve.png") > 20
