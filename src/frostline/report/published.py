"""Published reports as data: what a paper says, with its counts and conditions, one file each in `published/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # it ships no types

from frostline.errors import ConfigError, first_line
from frostline.evaluation.catalog import named_metrics
from frostline.evaluation.intervals import Interval, wilson
from frostline.task import Task, choose_positive

FOLDER = Path(__file__).with_suffix("")


@dataclass(frozen=True)
class PublishedValue:
    """A metric as published, 0..1, and of how many images if that is known: (right, all)."""

    value: float
    counts: tuple[int, int] | None = None

    @property
    def interval(self) -> Interval:
        """Wilson's at 95 % where the counts are known; else nothing is known of it, and it is the value itself."""
        return (self.value, self.value) if self.counts is None else wilson(*self.counts)


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
    """By key of metrics.json, without the split."""
    errors_between: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    freezing: Mapping[str, Any] = field(default_factory=dict)
    sisters: Mapping[str, Mapping[str, PublishedValue]] = field(default_factory=dict)

    @property
    def half_an_image(self) -> float:
        """What a share of its test images is no finer than."""
        return 0.5 / self.test["images"]


def read_published(folder: Path = FOLDER) -> list[PublishedReport]:
    """All reports in `folder`, by name of file. Raises `ConfigError` for a file unlike docs/published.md says."""
    return [_read(file) for file in sorted(folder.glob("*.yaml"))]


def _read(file: Path) -> PublishedReport:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        known = {f.name for f in fields(PublishedReport)}
        if unknown := sorted({*content} - known):
            raise ValueError(f"has {unknown[0]!r}, which is none of {', '.join(sorted(known))}")
        for f in fields(PublishedReport):
            if f.default is MISSING and f.default_factory is MISSING and f.name not in content:
                raise ValueError(f"{f.name!r} is missing")
        classes = tuple(content["classes"])
        task = Task(classes, choose_positive(classes, "auto"))
        sisters = {model: _values(metrics, task) for model, metrics in content.get("sisters", {}).items()}
        given = {**content, "classes": classes, "metrics": _values(content["metrics"], task), "sisters": sisters}
        return PublishedReport(**{**given, "errors_between": tuple(content.get("errors_between", ()))})
    except (OSError, KeyError, TypeError, ValueError, AttributeError, ConfigError, yaml.YAMLError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else first_line(error)
        raise ConfigError(f"{file}: no published report as docs/published.md describes one ({what})") from None


def _values(metrics: Mapping[str, Mapping[str, Any]], task: Task) -> dict[str, PublishedValue]:
    known = {m.key for m in named_metrics(task)}
    if unknown := sorted({*metrics} - known):
        raise ValueError(f"metric {unknown[0]!r} is none of {', '.join(sorted(known))}")
    values = {}
    for key, given in metrics.items():
        counts = given.get("counts")
        values[key] = PublishedValue(
            float(given["value"]), None if counts is None else (int(counts[0]), int(counts[1]))
        )
    return values
