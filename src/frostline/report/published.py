"""Published reports as data: what a paper says, with its counts and conditions, one file each in `published/`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml  # type: ignore[import-untyped]  # it ships no types

from frostline.errors import ConfigError, first_line
from frostline.evaluation.catalog import named_metrics
from frostline.evaluation.from_matrix import metrics_of_matrix, values_of_matrix
from frostline.evaluation.intervals import NARROW, wilson
from frostline.evaluation.seeds import Repeats
from frostline.task import Task, choose_positive

FOLDER = Path(__file__).with_suffix("")
MARGIN = 0.02


@dataclass(frozen=True)
class PublishedValue:
    """A metric as published, in the unit of metrics.json."""

    value: float
    sampled: Repeats
    """The same with the sampling error of the report's images; NaN where it gives no counts."""
    stated: bool = True
    """Whether the report states it, else it was worked out of its confusion matrix."""


@dataclass(frozen=True)
class PublishedReport:
    """What one paper says; only what stands in its file is compared."""

    title: str
    data: str
    """Name of the data set, as `data.name`."""
    model: str
    """Name of the network, as `model.name`."""
    classes: tuple[str, ...]
    conditions: Mapping[str, Any]
    """Options of a run that was made the same way, by full name."""
    test: Mapping[str, int]
    """`images` and `seeds`."""
    metrics: Mapping[str, PublishedValue]
    """By key of metrics.json, without the split; after those that it states those that its confusion matrix gives."""
    margin: float = MARGIN
    """How far apart two values may lie and still be the same to the reader; 0.02 is 2 points."""
    confusion: Mapping[str, Any] = field(default_factory=dict)
    """`matrix`, rows true; `swappable`: two classes of which it is not known which has which row and column."""
    errors_between: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    freezing: Mapping[str, Any] = field(default_factory=dict)
    sisters: Mapping[str, Mapping[str, PublishedValue]] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        """What it tells apart."""
        return _task(self.classes)

    @property
    def objective(self) -> str:
        """What its studies maximise."""
        return str(self.freezing.get("objective", "val/acc"))


def read_published(folder: Path = FOLDER) -> list[PublishedReport]:
    """All reports in `folder`, by name of file. Raises `ConfigError` for a file unlike docs/published.md says."""
    return [_read(file) for file in sorted(folder.glob("*.yaml"))]


def of_counts(right: int, total: int) -> Repeats:
    """A share of independent images with Wilson's intervals."""
    return Repeats((right / total,), wilson(right, total), wilson(right, total, NARROW))


def _task(classes: tuple[str, ...]) -> Task:
    return Task(classes, choose_positive(classes, "auto"))


def _read(file: Path) -> PublishedReport:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        known = {f.name for f in fields(PublishedReport)}
        if unknown := sorted({*content} - known):
            raise ValueError(f"has {unknown[0]!r}, which is none of {', '.join(sorted(known))}")
        for f in fields(PublishedReport):
            if f.default is MISSING and f.default_factory is MISSING and f.name not in content:
                raise ValueError(f"{f.name!r} is missing")
        if not 0 < (margin := float(content.get("margin", MARGIN))) < 1:
            raise ValueError(f"margin {margin:g} is not between 0 and 1; 0.02 is 2 points")
        task = _task(tuple(content["classes"]))
        given, swapped = _of_matrix(content.get("confusion"), task, content["test"]["images"])
        metrics = _values(content["metrics"], task, given)
        sisters = {model: _values(values, task, {}) for model, values in content.get("sisters", {}).items()}
        derived = _worked_out(metrics, task, given, swapped)
        given_or_derived = {"classes": task.classes, "metrics": metrics | derived, "sisters": sisters, "margin": margin}
        errors_between = tuple(content.get("errors_between", ()))
        return PublishedReport(**{**content, **given_or_derived, "errors_between": errors_between})
    except (OSError, KeyError, TypeError, ValueError, AttributeError, ConfigError, yaml.YAMLError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else first_line(error)
        raise ConfigError(f"{file}: no published report as docs/published.md describes one ({what})") from None


def _of_matrix(
    confusion: Mapping[str, Any] | None, task: Task, images: int
) -> tuple[dict[str, Repeats], dict[str, float]]:
    """Metrics of the report's confusion matrix, and the values of the other one that it may have been."""
    if confusion is None:
        return {}, {}
    matrix = np.array(confusion["matrix"], dtype=int)
    if matrix.shape != (len(task), len(task)) or (matrix < 0).any() or matrix.sum() != images:
        raise ValueError(
            f"confusion.matrix is not {len(task)} rows of {len(task)} counts that add up to test.images={images}"
        )
    order = [*range(len(task))]
    if swappable := confusion.get("swappable"):
        i, j = (task.index(name) for name in swappable)
        order[i], order[j] = j, i
    return metrics_of_matrix(matrix, task), values_of_matrix(matrix[np.ix_(order, order)], task)


def _worked_out(
    stated: Mapping[str, PublishedValue], task: Task, given: Mapping[str, Repeats], swapped: Mapping[str, float]
) -> dict[str, PublishedValue]:
    """What the page shows and only the matrix says, but for what depends on the swap and shares that are stated."""
    named = named_metrics(task)
    shares = [(m.metric.share, m.class_index) for m in named if m.key in stated]
    return {
        m.key: PublishedValue(given[m.key].mean, given[m.key], stated=False)
        for m in named_metrics(task, "page")
        if m.key in given
        and m.key not in stated
        and (m.metric.share is None or (m.metric.share, m.class_index) not in shares)
        and math.isclose(given[m.key].mean, swapped[m.key])
    }


def _values(
    metrics: Mapping[str, Mapping[str, Any]], task: Task, of_matrix: Mapping[str, Repeats]
) -> dict[str, PublishedValue]:
    known = {m.key for m in named_metrics(task)}
    if unknown := sorted({*metrics} - known):
        raise ValueError(f"metric {unknown[0]!r} is none of {', '.join(sorted(known))}")
    values = {}
    for key, given in metrics.items():
        value, counts = float(given["value"]), given.get("counts")
        sampled = Repeats((value,), (math.nan, math.nan)) if counts is None else of_counts(*map(int, counts))
        sampled = of_matrix.get(key, sampled)
        half_a_digit = 0.5 * 10.0 ** -len(repr(value).partition(".")[2])
        if abs(sampled.mean - value) > min(half_a_digit, 0.005) + 1e-9:
            source = "confusion matrix" if key in of_matrix else "counts"
            raise ValueError(f"{key} is {value:g}, but by the {source} given it is {sampled.mean:.4f}")
        values[key] = PublishedValue(value, sampled)
    return values
