"""All figures of an evaluation, under the names used everywhere, each with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.functional.classification import multiclass_confusion_matrix

from frostline.evaluation.intervals import Interval, bootstrap, proportion_interval, wilson
from frostline.evaluation.weighted_metrics import BIASED, MALIGNANT, WeightedMetrics


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
    scores, true = probabilities.numpy(), targets.numpy()
    together = np.arange(len(true)) if groups is None else groups
    evaluation, units = WeightedMetrics(scores, true, classes), len(np.unique(together))
    found = {name: float(value) for name, (value,) in evaluation(np.ones((1, len(true)))).items()}
    for name, (lower, upper) in (
        bootstrap(evaluation, together, biased=BIASED) | proportions(scores, true, classes, together)
    ).items():
        if found[name] == 1.0 and lower != lower:  # nothing varies when all is right: every group counts as one image
            lower, upper = wilson(units, units)
        found[f"{name}/lower"], found[f"{name}/upper"] = lower, upper
    for i, name in enumerate(classes):
        found[f"{name}/support"] = int((true == i).sum())
        found[f"{name}/predicted"] = int((scores.argmax(1) == i).sum())
    found |= {"images": len(true), "correct": int((scores.argmax(1) == true).sum()), "groups": units}
    return {f"{stage}/{key}": value for key, value in found.items()}


def proportions(
    scores: np.ndarray, true: np.ndarray, classes: Sequence[str], groups: np.ndarray
) -> dict[str, Interval]:
    """Intervals of the metrics that are shares of images, by Wilson's method: they hold at 0 and 1 as well."""
    said = scores.argmax(1)
    found = {"acc": proportion_interval(said == true, groups)}
    found["recall_weighted"] = found["acc"]
    for i, name in enumerate(classes):
        found[f"{name}/recall"] = proportion_interval(said[true == i] == i, groups[true == i])
        found[f"{name}/precision"] = proportion_interval(true[said == i] == i, groups[said == i])
        if name == MALIGNANT:
            found["malignant/sensitivity"] = found["malignant/recall"]
            found["malignant/specificity"] = proportion_interval(said[true != i] != i, groups[true != i])
    return found


def confusion_matrix(predicted: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Counts int [C, C]: rows the true class, columns the predicted one."""
    matrix: Tensor = multiclass_confusion_matrix(predicted, targets, classes)
    return matrix
