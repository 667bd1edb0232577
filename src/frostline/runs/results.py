"""What a finished run says: all metrics, what it was, and its plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from frostline.runs.patients import PatientPredictions, PatientScore
from frostline.runs.predictions import Predictions, SplitPredictions
from frostline.text import NAMES, percent, with_level


@dataclass(frozen=True)
class Wanted:
    """What the threshold is to keep, and where the network would be used."""

    sensitivity: float
    """Share of the positive images to find."""
    confidence: float | None = None
    """Share of repetitions that are to keep it; None: it is kept on validation."""
    prevalence: float | None = None
    """At which predictive values are; None: that of the images."""


def wanted_of(config: RunConfig) -> Wanted:
    """What the options say."""
    return Wanted(config.sensitivity, config.sensitivity_confidence, config.prevalence)


def evaluate_run(predictions: Mapping[str, SplitPredictions], wanted: Wanted, level: str = "") -> dict[str, Any]:
    """All metrics with their intervals; threshold and temperature are chosen on validation, and applied to all.

    `level` stands before the name of every metric: `val/acc` is `val/patient/acc` with `patient/`.
    """
    val = predictions["val"]
    tuned = tune(val.probabilities, val.targets, val.task, wanted.sensitivity, val.groups, wanted.confidence)
    metrics: dict[str, Any] = {f"{level}temperature": tuned.temperature}
    if val.task.positive is not None:
        chosen: dict[str, Any] = {"wanted_sensitivity": tuned.sensitivity, "threshold": tuned.threshold}
        if wanted.prevalence is not None:
            chosen["prevalence"] = wanted.prevalence
        if tuned.confidence is not None:
            chosen["wanted_confidence"] = tuned.confidence
            chosen |= {"confidence": tuned.kept, "effective_positives": tuned.effective}
        metrics |= {f"{level}operating/{key}": value for key, value in chosen.items()}
    for split, p in predictions.items():
        stage = f"{split}/{level}".removesuffix("/")
        metrics |= evaluate(stage, p.probabilities, p.targets, p.task, p.groups)
        metrics |= evaluate_tuned(stage, p.probabilities, p.targets, p.task, p.groups, tuned, wanted.prevalence)
    return metrics


def evaluate_patients(
    patients: Mapping[str, PatientPredictions], wanted: Wanted, score: PatientScore
) -> dict[str, Any]:
    """The same by patient, each an independent unit, `val/patient/...`; its threshold is chosen on patients."""
    metrics = {"patient/score": score} | evaluate_run(patients, wanted, "patient/")
    for split, p in patients.items():
        del metrics[f"{split}/patient/images"], metrics[f"{split}/patient/groups"]  # they are patients
        metrics |= {f"{split}/patient/patients": len(p), f"{split}/patient/mixed": p.mixed}
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
        "monitor": config.trainer.monitor,
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
        "val_fold": config.data.val_fold,
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
    ends = with_level(metrics[f"{split}/acc/lower"], metrics[f"{split}/acc/upper"])
    title = f"{what}\naccuracy {percent(metrics[f'{split}/acc'])} ({ends})"
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


def _told_apart(p: SplitPredictions) -> int | None:
    """Index of the positive class, None where there is none, or the images are all of it or none."""
    i = p.task.positive_index
    return i if i is not None and 0 < (p.targets == i).sum() < len(p) else None


def operating_figure(
    p: SplitPredictions, point: Mapping[str, float], temperature: float | None, title: str
) -> Figure | None:
    """ROC, precision and recall of the positive class with the chosen `point` (`split/operating/...`), and calibration.

    No point and no temperature where none was chosen. None when there is no positive class, or the split has only
    images of it or none.
    """
    if (i := _told_apart(p)) is None:
        return None
    bins = {"as trained": reliability(p.probabilities, p.targets, p.groups)}
    if temperature is not None:
        scaled = scale(p.probabilities, temperature)
        bins[f"temperature {temperature:.2f}"] = reliability(scaled, p.targets, p.groups)
    named = {key.split("/operating/")[1]: value for key, value in point.items()}
    drawn = curves(p.probabilities[:, i], p.targets == i)
    return plot_operating(str(p.task.positive), drawn, named, bins, title)


def decision_figure(p: SplitPredictions, prevalence: float | None, title: str) -> Figure | None:
    """Net benefit of acting on the positive class, at `prevalence` or else that of the images.

    None when there is no positive class, or the split has only images of it or none.
    """
    if (i := _told_apart(p)) is None:
        return None
    curve = decision_curve(p.probabilities[:, i], p.targets == i, p.groups, prevalence)
    return plot_decision_curve(str(p.task.positive), curve, title)
