"""All metrics of an evaluation, under the names used everywhere, each with its interval."""

from __future__ import annotations

from typing import Any

import numpy as np

from frostline.evaluation.catalog import named_metrics
from frostline.evaluation.intervals import effective_groups
from frostline.evaluation.seeds import repeat
from frostline.task import Task


def evaluate(
    stage: str, probabilities: np.ndarray, targets: np.ndarray, task: Task, groups: np.ndarray | None = None
) -> dict[str, Any]:
    """All metrics of `probabilities` float [N, C] against `targets` int [N], flat, named `stage/...`.

    Each has its 95 % interval beside it, `stage/.../lower` and `.../upper`: `groups` [N] says which images go right or
    wrong together, none that they are independent. What the data cannot give, such as the AUROC of a class that does
    not occur, is NaN; where there is no interval, `stage/.../why` says why in a few words.
    """
    together = np.arange(len(targets)) if groups is None else groups
    keys = [m.key for m in named_metrics(task)]
    values: dict[str, Any] = {}
    for key, of in repeat([probabilities], targets, together, task, keys).items():
        values[key] = of.mean
        values[f"{key}/lower"], values[f"{key}/upper"] = of.interval
        if of.why:
            values[f"{key}/why"] = of.why
    predicted = probabilities.argmax(1)
    for i, name in enumerate(task.classes):
        of_class = targets == i
        values[f"{name}/support"] = int(of_class.sum())
        values[f"{name}/predicted"] = int((predicted == i).sum())
        values[f"{name}/groups"] = len(np.unique(together[of_class]))
    values |= {"images": len(targets), "correct": int((predicted == targets).sum())}
    values |= {"groups": len(np.unique(together)), "effective_groups": effective_groups(together)}
    return {f"{stage}/{key}": value for key, value in values.items()}


def confusion_matrix(predicted: np.ndarray, targets: np.ndarray, classes: int) -> np.ndarray:
    """Counts int [C, C]: rows the true class, columns the predicted one."""
    return np.bincount(targets * classes + predicted, minlength=classes**2).reshape(classes, classes)
