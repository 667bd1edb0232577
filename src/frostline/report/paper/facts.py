"""What a paper has to say of a run, as plain values: gathered once, from which checklists are answered."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from frostline.data.manifest import Example, read_manifest
from frostline.errors import FrostlineError
from frostline.evaluation.catalog import named_metrics
from frostline.report.collect import Collected, StudyData
from frostline.report.configurations import Configuration
from frostline.runs.finished import FinishedRun
from frostline.runs.folder import RunFolder
from frostline.task import Task
from frostline.text import interval, number


@dataclass(frozen=True)
class PaperFacts:
    """A run, or a configuration of several seeds, with the studies that led to it."""

    label: str
    """Which configuration it is, in words."""
    options: Mapping[str, Any]
    """By full name, all of them."""
    metrics: Mapping[str, Any]
    """`metrics.json` of its first run."""
    environment: Mapping[str, Any]
    """`environment.json` of its first run; empty when it is gone."""
    task: Task
    examples: tuple[Example, ...]
    """Every image in its split."""
    left_out: Mapping[str, int]
    """Files that are not used, by why."""
    seeds: int
    """Trainings that are put together."""
    trainings: str
    """The same in words."""
    figures: Mapping[str, tuple[str, str]]
    """By key the label of a metric and its value on the test set with its interval; empty when it was not tested."""
    confusion: tuple[tuple[float, ...], ...]
    """Rows true, columns predicted, mean counts over the seeds; empty when it was not tested."""
    searches: tuple[str, ...]
    """The studies, a sentence each."""
    holdout_uses: str
    """How often the test set was evaluated, in words."""


def gather_facts(tested: Sequence[Configuration], collected: Collected) -> PaperFacts | None:
    """The facts of the configuration that was tested last, or else of the newest run; None when there is no run.

    A run whose manifest is gone has none either.
    """
    configuration = max(tested, key=lambda c: max(_written(run) for run in c.runs), default=None)
    if configuration is not None:
        run = configuration.runs[0]
    elif collected.runs:
        run = max(collected.runs, key=_written)
    else:
        return None
    folder = RunFolder(run.folder)
    try:
        examples = tuple(read_manifest(folder.manifest, run.task.classes))
        options = folder.read_options()
    except (OSError, FrostlineError):
        return None
    matrix = () if configuration is None else configuration.matrix.tolist()
    return PaperFacts(
        label=f"{run.options['model.name']}, freeze {run.options['freeze']}"
        if configuration is None
        else configuration.label,
        options=options,
        metrics=run.metrics,
        environment=folder.trained_by,
        task=run.task,
        examples=examples,
        left_out=_left_out(folder),
        seeds=1 if configuration is None else configuration.seeds,
        trainings="one seed" if configuration is None else configuration.trainings,
        figures={} if configuration is None else _figures(configuration),
        confusion=tuple(tuple(row) for row in matrix),
        searches=tuple(_search(study) for study in collected.studies),
        holdout_uses=collected.holdout_uses([run] if configuration is None else configuration.runs),
    )


def _written(run: FinishedRun) -> float:
    return RunFolder(run.folder).metrics.stat().st_mtime


def _figures(configuration: Configuration) -> dict[str, tuple[str, str]]:
    """By key the label and the mean over seeds with its interval, of what the page shows and the data can give."""
    figures = {}
    for key, label, metric, _ in named_metrics(configuration.task, "page"):
        values = configuration.metrics[key]
        if not np.isnan(values.mean):
            shown = number(values.mean, metric.percent)
            figures[key] = label, f"{shown} ({interval(*values.interval, metric.percent)})"
    return figures


def _left_out(folder: RunFolder) -> dict[str, int]:
    """Files of the data set that are not used, by kind or reason."""
    if not folder.unused.is_file():
        return {}
    with folder.unused.open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row.get("status") != "no image"]
    return dict(Counter(row.get("kind") or row.get("reason") or str(row.get("status")) for row in rows).most_common())


def _search(study: StudyData) -> str:
    ways = "all combinations" if study.grid else "settings drawn by a sampler"
    names = ", ".join(study.options) or "seeds alone"
    return (
        f"{study.name}: {names}, {ways}, {len(study.complete)} of {len(study.trials)} "
        f"trials complete, maximising {study.objective}"
    )
