"""All figures of an evaluation, from probabilities and classes: torchmetrics, under the names used everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
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

from frostline.evaluation.intervals import Interval, bootstrap, proportion_interval
from frostline.evaluation.weighted import Evaluation

MALIGNANT = "malignant"


def epoch_metrics(classes: int) -> MetricCollection:
    """What is followed from epoch to epoch: accuracy and balanced accuracy (mean recall of the classes)."""
    return MetricCollection(
        {
            "acc": MulticlassAccuracy(classes, average="micro"),
            "balanced_acc": MulticlassAccuracy(classes, average="macro"),
        }
    )


def evaluate(
    stage: str, probabilities: Tensor, targets: Tensor, classes: Sequence[str], groups: np.ndarray | None = None
) -> dict[str, float]:
    """All metrics of `probabilities` float [N, C] against `targets` int [N], flat, named `stage/...`, each 0..1.

    Each has its 95 % interval beside it, `stage/.../lower` and `.../upper`: `groups` [N] says which images go right or
    wrong together, none that they are independent. Calibration error is the expected one over 15 bins of confidence
    (Guo et al. 2017). A figure that the data cannot give, such as the AUROC of a class that does not occur, is NaN.
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
    together = np.arange(len(targets)) if groups is None else groups
    found["images"] = len(targets)
    found["groups"] = len(np.unique(together))
    found["correct"] = int(matrix.diagonal().sum())
    if MALIGNANT in classes:
        found.update(_malignant(matrix, list(classes).index(MALIGNANT)))
    for key, (lower, upper) in intervals(probabilities, targets, classes, together).items():
        found[f"{key}/lower"], found[f"{key}/upper"] = lower, upper
    return {f"{stage}/{key}": value for key, value in found.items()}


def intervals(
    probabilities: Tensor, targets: Tensor, classes: Sequence[str], groups: np.ndarray
) -> dict[str, Interval]:
    """95 % interval of every metric: of proportions that of Wilson, of all others by the bootstrap; both by group."""
    scores, true = probabilities.numpy(), targets.numpy()
    said = scores.argmax(1)
    found = bootstrap(Evaluation(scores, true, classes), groups)
    found["acc"] = found["recall_weighted"] = proportion_interval(said == true, groups)
    for i, name in enumerate(classes):
        found[f"{name}/recall"] = proportion_interval(said[true == i] == i, groups[true == i])
        found[f"{name}/precision"] = proportion_interval(true[said == i] == i, groups[said == i])
    if MALIGNANT in classes:
        i = list(classes).index(MALIGNANT)
        rest = true != i
        found["malignant/sensitivity"] = found["malignant/recall"]
        found["malignant/specificity"] = proportion_interval(said[rest] != classes.index(MALIGNANT), groups[rest])
    return found


def confusion_matrix(predicted: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Counts int [C, C]: rows the true class, columns the predicted one."""
    matrix: Tensor = multiclass_confusion_matrix(predicted, targets, classes)
    return matrix


def _malignant(matrix: Tensor, i: int) -> dict[str, float]:
    """Sensitivity and specificity of malignant against the rest."""
    true, missed = int(matrix[i, i]), int(matrix[i].sum() - matrix[i, i])
    others = int(matrix.sum() - matrix[i].sum())
    alarms = int(matrix[:, i].sum() - matrix[i, i])
    return {
        f"malignant/{name}": right / total if total else float("nan")
        for name, right, total in (("sensitivity", true, true + missed), ("specificity", others - alarms, others))
    }


def _auroc(scores: Tensor, positive: Tensor) -> float:
    """One against the rest; NaN without both."""
    if bool(positive.all()) or not bool(positive.any()):
        return float("nan")
    both = torch.stack([1 - scores, scores], 1)
    return _item(multiclass_auroc(both, positive.long(), 2, average="none")[1])


def _item(value: Tensor) -> float:
    return float(value.item())
