"""What a finished run leaves: all figures, the predictions, the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from frostline.config.schema import CLASSES, RunConfig
from frostline.data.dataset import SplitData
from frostline.evaluation.calibration import reliability, scale
from frostline.evaluation.metrics import confusion_matrix, evaluate
from frostline.evaluation.operating_point import curves, evaluate_tuned, tune
from frostline.evaluation.weighted_metrics import MALIGNANT
from frostline.files import write_csv
from frostline.models.classifier import BuiltModel
from frostline.plots.run import plot_confusion_matrix, plot_curves, plot_operating
from frostline.plots.style import write_png
from frostline.text import NAMES

Predictions = dict[str, tuple[Tensor, Tensor]]
"""By split: probabilities float [N, C] and classes int [N], in the order of the split's examples."""


def evaluate_run(predictions: Predictions, data: SplitData, sensitivity: float) -> dict[str, Any]:
    """All metrics with their intervals; threshold and temperature are chosen on validation, and applied to all."""
    scores, targets = (part.numpy() for part in predictions["val"])
    tuned = tune(scores, targets, CLASSES, sensitivity)
    metrics: dict[str, Any] = {
        "operating/wanted_sensitivity": tuned.sensitivity,
        "operating/threshold": tuned.threshold,
        "temperature": tuned.temperature,
    }
    for split, (probabilities, classes) in predictions.items():
        groups = groups_of(data, split)
        metrics |= evaluate(split, probabilities, classes, CLASSES, groups)
        metrics |= evaluate_tuned(split, probabilities.numpy(), classes.numpy(), CLASSES, groups, tuned)
    return metrics


def groups_of(data: SplitData, split: str) -> np.ndarray:
    """Name of the group of every example of `split`."""
    return np.array([e.group for e in data.of(split)])


def run_facts(
    config: RunConfig,
    model: BuiltModel,
    data: SplitData,
    history: Sequence[Mapping[str, float]],
    pruned: bool,
    best_epoch: int,
    seconds: float,
) -> dict[str, Any]:
    """What stands in metrics.json beside the metrics: what the run was."""
    seen = len(data.of("train")) * len(history)
    return {
        "state": "pruned" if pruned else "complete",
        "best_epoch": best_epoch,
        "epochs": len(history),
        "max_epochs": config.trainer.max_epochs,
        "freeze": config.freeze,
        "freeze_unit": config.freeze_unit,
        "frozen/parameters": model.frozen_parameters,
        "frozen/multiply_adds": model.frozen_multiply_adds,
        "seed": config.seed,
        "model": config.model.name,
        "weights": model.weights,
        "data": config.data.name,
        "split": config.data.split,
        "split_seed": config.data.split_seed,
        "fold": config.data.fold,
        "optimizer": config.optimizer.name,
        "lr": config.optimizer.lr,
        "bn_momentum": model.bn_momentum,
        "batch_size": config.data.batch_size,
        "image_size": config.data.image_size,
        "train/images": len(data.of("train")),
        "val/near_copies_in_train": data.leaks["val"],
        "test/near_copies_in_train": data.leaks["test"],
        "seconds": round(seconds, 1),
        "train/images_per_second": round(seen / sum(row["seconds"] for row in history), 2),
    }


def write_predictions(file: Path, data: SplitData, predictions: Predictions) -> None:
    """One row for every evaluated image: path, true class, predicted class, a probability for each class, split."""
    rows = []
    for split, (probabilities, targets) in predictions.items():
        for example, p, target in zip(data.of(split), probabilities.tolist(), targets.tolist(), strict=True):
            predicted = max(range(len(CLASSES)), key=p.__getitem__)
            rows.append([example.path, CLASSES[target], CLASSES[predicted], *(f"{x:.6f}" for x in p), split])
    write_csv(file, ("path", "true", "predicted", *(f"p_{name}" for name in CLASSES), "split"), rows)


def draw_run(
    run_dir: Path,
    data: SplitData,
    predictions: Predictions,
    metrics: dict[str, Any],
    history: Sequence[Mapping[str, float]],
) -> None:
    """Draw the curves, and confusion matrix, operating point and calibration of the test set, or else of validation."""
    interval = metrics["val/acc/lower"], metrics["val/acc/upper"]
    write_png(plot_curves(history, metrics["best_epoch"] - 1, interval), run_dir / "curves.png")
    split = "test" if "test" in predictions else "val"
    probabilities, classes = predictions[split]
    what = f"{NAMES[split]} set, {len(classes)} images"
    ends = f"{metrics[f'{split}/acc/lower']:.1%} to {metrics[f'{split}/acc/upper']:.1%}"
    title = f"{what}\naccuracy {metrics[f'{split}/acc']:.1%} (95 % interval {ends})"
    matrix = confusion_matrix(probabilities.argmax(1), classes, len(CLASSES)).numpy()
    write_png(plot_confusion_matrix(matrix, CLASSES, title), run_dir / "confusion_matrix.png")

    wanted = metrics["operating/wanted_sensitivity"]
    title = f"{what}; threshold for {wanted:.0%} sensitivity on validation"
    scores, targets = probabilities.numpy(), classes.numpy()
    if 0 < (targets == CLASSES.index(MALIGNANT)).sum() < len(targets):
        point = {k: v for k, v in metrics.items() if k.startswith(f"{split}/operating/")}
        figure = operating_figure(scores, targets, groups_of(data, split), point, metrics["temperature"], title)
        write_png(figure, run_dir / "operating.png")


def operating_figure(
    scores: np.ndarray,
    targets: np.ndarray,
    groups: np.ndarray,
    point: Mapping[str, float],
    temperature: float,
    title: str,
) -> Figure:
    """ROC, precision and recall of malignant with the chosen `point` (`split/operating/...`), and calibration."""
    i = CLASSES.index(MALIGNANT)
    bins = {
        "as trained": reliability(scores, targets, groups),
        f"temperature {temperature:.2f}": reliability(scale(scores, temperature), targets, groups),
    }
    named = {key.split("/operating/")[1]: value for key, value in point.items()}
    return plot_operating(curves(scores[:, i], targets == i), named, bins, title)
