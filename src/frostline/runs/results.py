"""What a finished run says: all metrics, what it was, and its plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from frostline.config.schema import RunConfig
from frostline.data.dataset import SplitData
from frostline.evaluation.calibration import reliability, scale
from frostline.evaluation.decision_curve import decision_curve
from frostline.evaluation.metrics import confusion_matrix, evaluate
from frostline.evaluation.operating_point import curves, evaluate_tuned, tune
from frostline.models.classifier import BuiltModel
from frostline.plots.decision import plot_decision_curve
from frostline.plots.run import plot_confusion_matrix, plot_curves, plot_operating
from frostline.plots.style import write_png
from frostline.runs.folder import RunFolder
from frostline.runs.predictions import Predictions, SplitPredictions
from frostline.text import NAMES, interval, percent


def evaluate_run(
    predictions: Predictions, sensitivity: float, confidence: float | None = None, prevalence: float | None = None
) -> dict[str, Any]:
    """All metrics with their intervals; threshold and temperature are chosen on validation, and applied to all.

    `confidence` is the wanted share of repetitions that keep `sensitivity`; predictive values are at `prevalence`.
    """
    val = predictions["val"]
    tuned = tune(val.probabilities, val.targets, val.task, sensitivity, val.groups, confidence)
    metrics: dict[str, Any] = {"temperature": tuned.temperature}
    if val.task.positive is not None:
        metrics["operating/wanted_sensitivity"] = tuned.sensitivity
        metrics["operating/threshold"] = tuned.threshold
        if prevalence is not None:
            metrics["operating/prevalence"] = prevalence
        if tuned.confidence is not None:
            metrics["operating/wanted_confidence"] = tuned.confidence
            metrics["operating/confidence"] = tuned.kept
            metrics["operating/effective_positives"] = tuned.effective
    for split, p in predictions.items():
        metrics |= evaluate(split, p.probabilities, p.targets, p.task, p.groups)
        metrics |= evaluate_tuned(split, p.probabilities, p.targets, p.task, p.groups, tuned, prevalence)
    return metrics


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
        "val/near_copies_in_train": data.near_copies["val"],
        "test/near_copies_in_train": data.near_copies["test"],
        "val/groups_in_train": data.leaks["val"],
        "test/groups_in_train": data.leaks["test"],
        "patients_known": data.patients_known,
        "seconds": round(seconds, 1),
        "train/images_per_second": round(seen / sum(row["seconds"] for row in history), 2),
    }


def draw_run(
    folder: RunFolder, predictions: Predictions, metrics: Mapping[str, Any], history: Sequence[Mapping[str, float]]
) -> None:
    """Draw the curves, and of the test set (else validation) confusion matrix, operating point, decision curve."""
    of_epoch = metrics["val/acc/lower"], metrics["val/acc/upper"]
    write_png(plot_curves(history, metrics["best_epoch"] - 1, of_epoch), folder.plot("curves"))
    split = "test" if "test" in predictions else "val"
    p = predictions[split]
    what = f"{NAMES[split]} set, {len(p)} images"
    ends = interval(metrics[f"{split}/acc/lower"], metrics[f"{split}/acc/upper"])
    title = f"{what}\naccuracy {percent(metrics[f'{split}/acc'])} (95 % interval {ends})"
    matrix = confusion_matrix(p.predicted, p.targets, len(p.task))
    write_png(plot_confusion_matrix(matrix, p.task.classes, title), folder.plot("confusion_matrix"))
    if p.task.positive is not None:
        what += f"; threshold for {percent(metrics['operating/wanted_sensitivity'])} sensitivity on validation"
    point = {k: v for k, v in metrics.items() if k.startswith(f"{split}/operating/")}
    figure = operating_figure(p, point, metrics["temperature"], what)
    if figure is not None:
        write_png(figure, folder.plot("operating"))
    benefit = decision_figure(p, metrics.get("operating/prevalence"), f"{NAMES[split]} set, {len(p)} images")
    if benefit is not None:
        write_png(benefit, folder.plot("decision_curve"))


def operating_figure(p: SplitPredictions, point: Mapping[str, float], temperature: float, title: str) -> Figure | None:
    """ROC, precision and recall of the positive class with the chosen `point` (`split/operating/...`), and calibration.

    None when there is no positive class, or the split has only images of it or none.
    """
    i = p.task.positive_index
    if i is None or not 0 < (p.targets == i).sum() < len(p):
        return None
    bins = {
        "as trained": reliability(p.probabilities, p.targets, p.groups),
        f"temperature {temperature:.2f}": reliability(scale(p.probabilities, temperature), p.targets, p.groups),
    }
    named = {key.split("/operating/")[1]: value for key, value in point.items()}
    drawn = curves(p.probabilities[:, i], p.targets == i)
    return plot_operating(str(p.task.positive), drawn, named, bins, title)


def decision_figure(p: SplitPredictions, prevalence: float | None, title: str) -> Figure | None:
    """Net benefit of acting on the positive class, at `prevalence` or else that of the images.

    None when there is no positive class, or the split has only images of it or none.
    """
    i = p.task.positive_index
    if i is None or not 0 < (p.targets == i).sum() < len(p):
        return None
    curve = decision_curve(p.probabilities[:, i], p.targets == i, p.groups, prevalence)
    return plot_decision_curve(str(p.task.positive), curve, title)
