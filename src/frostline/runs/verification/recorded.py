"""What a run wrote down, read as far as it can be: a damaged file is a line, not the end."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from frostline.data.manifest import Example, read_manifest
from frostline.errors import FrostlineError, first_line
from frostline.runs.finished import task_of
from frostline.runs.folder import RunFolder
from frostline.task import Task

T = TypeVar("T")


@dataclass(frozen=True)
class PredictionRow:
    """A line of predictions.csv."""

    line: int
    path: str
    true: str
    predicted: str
    probabilities: tuple[float, ...]
    """In the order of the task's classes."""
    split: str


@dataclass(frozen=True)
class Recorded:
    """The files of a run folder; None for one that cannot be read, which `problems` then says, a line each."""

    folder: RunFolder
    options: dict[str, Any] | None
    task: Task | None
    examples: tuple[Example, ...] | None
    predictions: tuple[PredictionRow, ...] | None
    metrics: dict[str, Any] | None
    environment: dict[str, Any] | None
    unused: frozenset[str] | None
    """Paths of `unused_files.csv`; None for runs of before there was one too."""
    problems: tuple[str, ...]

    def option(self, name: str) -> Any:
        """An option of the run, None when config.yaml cannot be read."""
        return None if self.options is None else self.options.get(name)


def read_recorded(run_dir: Path) -> Recorded:
    """Read a run folder. Raises `FrostlineError` for a folder that is not there or holds no run at all."""
    folder = RunFolder(run_dir)
    if not run_dir.is_dir():
        raise FrostlineError(f"{run_dir}: no such folder; give the folder that a run printed at its end")
    if not any(file.exists() for file in (folder.config, folder.manifest, folder.metrics, folder.predictions)):
        raise FrostlineError(f"{run_dir}: is no run folder; give the one that a run printed at its end")
    problems: list[str] = []

    def tried(file: Path, read: Callable[[], T]) -> T | None:
        if not file.is_file():
            problems.append(f"{file.name}: is missing")
            return None
        try:
            return read()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error, FrostlineError) as error:
            problems.append(f"{file.name}: cannot be read ({first_line(error).removeprefix(f'{file}: ')})")
            return None

    options = tried(folder.config, folder.read_options)
    task = None if options is None else tried(folder.config, lambda: task_of(options))
    classes = () if task is None else task.classes
    examples = tried(folder.manifest, lambda: tuple(read_manifest(folder.manifest, classes)))
    predictions = None
    if task is not None:
        known = task
        predictions = tried(folder.predictions, lambda: _read_rows(folder.predictions, known, problems))
    return Recorded(
        folder=folder,
        options=options,
        task=task,
        examples=examples,
        predictions=predictions,
        metrics=tried(folder.metrics, lambda: _read_object(folder.metrics)),
        environment=tried(folder.environment, lambda: _read_object(folder.environment)),
        unused=tried(folder.unused, lambda: _read_paths(folder.unused)) if folder.unused.is_file() else None,
        problems=tuple(problems),
    )


def _read_object(file: Path) -> dict[str, Any]:
    found = json.loads(file.read_text())
    if not isinstance(found, dict):
        raise ValueError("holds no names with values")
    return found


def _read_paths(file: Path) -> frozenset[str]:
    with file.open(newline="") as lines:
        return frozenset(row["path"] for row in csv.DictReader(lines))


def _read_rows(file: Path, task: Task, problems: list[str]) -> tuple[PredictionRow, ...]:
    """The lines that can be read; of the others `problems` says why not."""
    named = [f"p_{name}" for name in task.classes]
    with file.open(newline="") as lines:
        reader = csv.DictReader(lines)
        columns = reader.fieldnames or ()
        absent = [name for name in ("path", "true", "predicted", *named, "split") if name not in columns]
        if absent:
            raise ValueError(f"has no column {', '.join(absent)}")
        others = [name for name in columns if name.startswith("p_") and name not in named]
        if others:
            raise ValueError(f"has a column {', '.join(others)}, of no class of the run")
        rows, damaged = [], []
        for row in reader:
            numbers = _numbers([row[name] for name in named])
            if numbers is None or not row["path"] or not row["split"]:
                damaged.append(reader.line_num)
            else:
                rows.append(
                    PredictionRow(reader.line_num, row["path"], row["true"], row["predicted"], numbers, row["split"])
                )
    problems += [f"{file.name} line {line}: has a field that is empty or no number" for line in damaged]
    return tuple(rows)


def _numbers(texts: Sequence[str | None]) -> tuple[float, ...] | None:
    try:
        values = tuple(float(text or "") for text in texts)
    except ValueError:
        return None
    return values if all(math.isfinite(v) for v in values) else None
