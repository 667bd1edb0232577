"""All figures of an evaluation, from probabilities and classes: torchmetrics, under the names used everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_auroc,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from frostline.evaluation.intervals import wilson

MALIGNANT = "malignant"


def epoch_metrics(classes: int) -> MetricCollection:
    """What is followed from epoch to epoch: accuracy and balanced accuracy (mean recall of the classes)."""
    return MetricCollection(
        {
            "acc": MulticlassAccuracy(classes, average="micro"),
            "balanced_acc": MulticlassAccuracy(classes, average="macro"),
        }
    )


def evaluate(stage: str, probabilities: Tensor, targets: Tensor, classes: Sequence[str]) -> dict[str, float]:
    """All metrics of `probabilities` float [N, C] against `targets` int [N], flat, named `stage/...`, each 0..1.

    Calibration error is the expected one over 15 bins of confidence (Guo et al. 2017). A figure that the data cannot
    give, such as the AUROC of a class that does not occur, is NaN.
    """
    n = len(classes)
    predicted = probabilities.argmax(1)
    found: dict[str, float] = {
        "acc": _item(multiclass_accuracy(predicted, targets, n, average="micro")),
        "balanced_acc": _item(multiclass_accuracy(predicted, targets, n, average="macro")),
        "loss": _item(torch.nn.functional.nll_loss(probabilities.clamp_min(1e-12).log(), targets)),
    }
    for average in ("weighted", "macro"):
        found[f"precision_{average}"] = _item(multiclass_precision(predicted, targets, n, average=average))
        found[f"recall_{average}"] = _item(multiclass_recall(predicted, targets, n, average=average))
        found[f"f1_{average}"] = _item(multiclass_f1_score(predicted, targets, n, average=average))
    precision = multiclass_precision(predicted, targets, n, average="none")
    recall = multiclass_recall(predicted, targets, n, average="none")
    f1 = multiclass_f1_score(predicted, targets, n, average="none")
    matrix = confusion_matrix(predicted, targets, n)
    for i, name in enumerate(classes):
        support = int(matrix[i].sum())
        found[f"{name}/precision"] = _item(precision[i])
        found[f"{name}/recall"] = _item(recall[i]) if support else float("nan")
        found[f"{name}/f1"] = _item(f1[i])
        found[f"{name}/support"] = support
        found[f"{name}/auroc"] = _auroc(probabilities[:, i], targets == i)
    areas = [found[f"{name}/auroc"] for name in classes]
    found["auroc_macro"] = sum(areas) / len(areas)
    found["calibration_error"] = _item(multiclass_calibration_error(probabilities, targets, n, n_bins=15))
    found["images"] = len(targets)
    found["correct"] = int(matrix.diagonal().sum())
    found["acc/lower"], found["acc/upper"] = wilson(int(found["correct"]), len(targets))
    if MALIGNANT in classes:
        found.update(_malignant(matrix, list(classes).index(MALIGNANT)))
    return {f"{stage}/{key}": value for key, value in found.items()}


def confusion_matrix(predicted: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Counts int [C, C]: rows the true class, columns the predicted one."""
    matrix: Tensor = multiclass_confusion_matrix(predicted, targets, classes)
    return matrix


def _malignant(matrix: Tensor, i: int) -> dict[str, float]:
    """Sensitivity and specificity of malignant against the rest, with their 95 % intervals."""
    true, missed = int(matrix[i, i]), int(matrix[i].sum() - matrix[i, i])
    others = int(matrix.sum() - matrix[i].sum())
    alarms = int(matrix[:, i].sum() - matrix[i, i])
    found = {}
    for name, right, total in (("sensitivity", true, true + missed), ("specificity", others - alarms, others)):
        found[f"malignant/{name}"] = right / total if total else float("nan")
        found[f"malignant/{name}/lower"], found[f"malignant/{name}/upper"] = wilson(right, total)
    return found


def _auroc(scores: Tensor, positive: Tensor) -> float:
    """One against the rest; NaN without both."""
    if bool(positive.all()) or not bool(positive.any()):
        return float("nan")
    both = torch.stack([1 - scores, scores], 1)
    return _item(multiclass_auroc(both, positive.long(), 2, average="none")[1])


def _item(value: Tensor) -> float:
    return float(value.item())
