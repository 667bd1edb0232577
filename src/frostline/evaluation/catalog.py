"""Which metrics there are: key, label, how it is computed, what its interval rests on, where it is shown.

An entry of `METRICS` is all that a metric takes: it is then computed, has its interval and appears where `shown` says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from frostline.evaluation.weighted_sums import WeightedSums, mean_of_seen, ratio
from frostline.task import Task

Place = Literal["run", "page", "compare", "difference", "gap", "dashboard"]
"""Where a metric is shown: table of a run, page, columns and differences of `compare`, leak gap, dashboard."""
Share = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Metric:
    """A metric; of every class, or of the positive one, its key and label begin with `{class}` or `{positive}`.

    `compute` takes the sums of B weighted samples and the index of the class (0 for a metric of all) and gives [B], NaN
    where a sample cannot say. What its interval rests on: `share` says of a metric that is a share of images, from
    predicted and true classes int [N] and the index, which images are right and which count, both bool [N]; `mean_of`
    is the metric of every class that a metric is the plain mean of; `less` is the one that is taken off in it and
    varies far more than the rest: its interval is that one's, turned around; `largest` says that its values lie between
    0 and that, None that they may be any. `no_interval` says why it is shown without one; `meaning` what it is, in a
    line for a reader who meets it for the first time.
    """

    key: str
    label: str
    compute: Callable[[WeightedSums, int], np.ndarray]
    shown: tuple[Place, ...] = ()
    share: Share | None = None
    mean_of: str | None = None
    less: str | None = None
    largest: float | None = 1.0
    no_interval: str = ""
    percent: bool = True
    meaning: str = ""


class NamedMetric(NamedTuple):
    """A metric under its key and label in a task; `class_index` is that of its class."""

    key: str
    label: str
    metric: Metric
    class_index: int


def _all_right(predicted: np.ndarray, true: np.ndarray, _: int) -> tuple[np.ndarray, np.ndarray]:
    return predicted == true, np.ones(len(true), bool)


def _found(predicted: np.ndarray, true: np.ndarray, i: int) -> tuple[np.ndarray, np.ndarray]:
    return predicted == i, true == i


def _justly_named(predicted: np.ndarray, true: np.ndarray, i: int) -> tuple[np.ndarray, np.ndarray]:
    return true == i, predicted == i


def _justly_spared(predicted: np.ndarray, true: np.ndarray, i: int) -> tuple[np.ndarray, np.ndarray]:
    return predicted != i, true != i


def _of_class(predicted: np.ndarray, true: np.ndarray, i: int) -> tuple[np.ndarray, np.ndarray]:
    return true == i, np.ones(len(true), bool)


def _specificity(s: WeightedSums, i: int) -> np.ndarray:
    others, alarms = s.total - s.true[:, i], s.predicted[:, i] - s.right[:, i]
    return ratio(others - alarms, others, np.nan)


METRICS: tuple[Metric, ...] = (
    Metric(
        *("acc", "accuracy", lambda s, _: s.right.sum(1) / s.total),
        ("run", "page", "compare", "difference", "gap", "dashboard"),
        _all_right,
        meaning="share of images that are right",
    ),
    Metric(
        *("balanced_acc", "balanced accuracy", lambda s, _: mean_of_seen(np.nan_to_num(s.recall), s.seen)),
        ("run", "page", "compare", "difference", "gap", "dashboard"),
        mean_of="{class}/recall",
        meaning="mean of the classes' recalls, so that a rare class counts as much as a common one",
    ),
    Metric(
        *("loss", "log loss", lambda s, _: s.loss / s.total),
        no_interval="a few confident errors decide it",
        percent=False,
    ),
    Metric(
        *("brier", "Brier score, all classes", lambda s, _: s.squared / s.total, ("page",)),
        largest=2.0,
        percent=False,
        meaning="mean squared distance of the probabilities from the truth: 0 is perfect, 2 is sure and wrong",
    ),
    Metric(
        "precision_weighted",
        "precision, weighted",
        lambda s, _: s.by_support(s.precision),
        ("run", "page"),
        meaning="mean over classes, each by its number of images; macro: each alike",
    ),
    Metric(
        *("precision_macro", "precision, macro", lambda s, _: mean_of_seen(s.precision, s.seen)),
        mean_of="{class}/precision",
    ),
    Metric(
        *("recall_weighted", "recall, weighted", lambda s, _: s.by_support(np.nan_to_num(s.recall))),
        ("run", "page"),
        _all_right,
    ),
    Metric(
        *("recall_macro", "recall, macro", lambda s, _: mean_of_seen(np.nan_to_num(s.recall), s.seen)),
        mean_of="{class}/recall",
    ),
    Metric(
        "f1_weighted",
        "F1, weighted",
        lambda s, _: s.by_support(s.f1),
        ("run", "page"),
        meaning="harmonic mean of precision and recall",
    ),
    Metric(
        *("f1_macro", "F1, macro", lambda s, _: mean_of_seen(s.f1, s.seen)),
        ("page", "compare", "difference", "gap"),
        mean_of="{class}/f1",
    ),
    Metric(
        *("{positive}/sensitivity", "{positive}: sensitivity", lambda s, i: s.recall[:, i]),
        ("run", "page", "compare", "dashboard"),
        _found,
        meaning="share of its images that are found, its recall",
    ),
    Metric(
        *("{positive}/specificity", "{positive}: specificity", _specificity),
        ("run", "page", "compare", "dashboard"),
        _justly_spared,
        meaning="share of all other images that are not taken for it",
    ),
    Metric(
        "{class}/precision",
        "{class}: precision",
        lambda s, i: s.precision[:, i],
        ("run", "page"),
        _justly_named,
        meaning="share that is right of the images taken for the class",
    ),
    Metric(
        "{class}/recall",
        "{class}: recall",
        lambda s, i: s.recall[:, i],
        ("run", "page", "difference"),
        _found,
        meaning="share of the class's images that are found",
    ),
    Metric("{class}/f1", "{class}: F1", lambda s, i: s.f1[:, i]),
    Metric("{class}/auroc", "{class}: AUROC against the rest", lambda s, i: s.auroc[:, i]),
    Metric(
        *("auroc_macro", "AUROC, mean of one against the rest", lambda s, _: s.auroc.mean(1)),
        ("run", "page", "compare", "difference", "dashboard"),
        mean_of="{class}/auroc",
        meaning="chance that an image of a class has a higher probability of it than one that is not; 50 % is guessing",
    ),
    Metric(
        *("{positive}/auprc", "{positive}: AUPRC, average precision", lambda s, i: s.average_precision(i), ("page",)),
        meaning="mean precision over all thresholds; what guessing reaches is the share of the images",
    ),
    Metric(
        "{positive}/prevalence",
        "{positive}: share of the images, the AUPRC of chance",
        lambda s, i: s.true[:, i] / s.total,
        ("page",),
        _of_class,
    ),
    Metric(
        *("overconfidence", "overconfidence", lambda s, _: s.overconfidence / s.total),
        ("page",),
        less="acc",
        meaning="mean probability of the predicted class, less accuracy: above 0 too sure",
    ),
    Metric(
        *("{positive}/calibration_slope", "{positive}: calibration slope, right at 1"),
        *(lambda s, i: s.calibration_slope(i), ("page",)),
        percent=False,
        largest=None,
        meaning="below 1: probabilities are too extreme",
    ),
    Metric(
        *("{positive}/calibration_intercept", "{positive}: calibration intercept, right at 0"),
        *(lambda s, i: s.calibration_intercept(i), ("page",)),
        percent=False,
        largest=None,
        meaning="below 0: probabilities are too high",
    ),
    Metric(
        *("calibration_error", "calibration error, too high on few images", lambda s, _: s.miscalibration / s.total),
        ("page",),
        no_interval="few images bias it upwards",
        meaning="mean distance of probability and share that is right, over bins",
    ),
)


def named_metrics(task: Task, place: Place | None = None) -> list[NamedMetric]:
    """The metrics of a task, all of them or those shown at `place`, those of classes under the name of each."""
    named = []
    for metric in METRICS:
        if place is not None and place not in metric.shown:
            continue
        if metric.key.startswith("{class}"):
            indices: list[int | None] = [*range(len(task))]
        else:
            indices = [task.positive_index if metric.key.startswith("{positive}") else 0]
        for i in indices:
            if i is not None:
                words = {"class": task.classes[i], "positive": task.positive}
                named.append(NamedMetric(metric.key.format(**words), metric.label.format(**words), metric, i))
    return named


def labels(task: Task, place: Place) -> dict[str, str]:
    """By key the labels of the metrics shown at `place`, in the order of the catalogue."""
    return {m.key: m.label for m in named_metrics(task, place)}
