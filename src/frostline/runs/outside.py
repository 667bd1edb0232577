"""Predictions of models that were trained elsewhere: a table, or columns of one, with the same evidence as our runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frostline.config.tables import read_table
from frostline.data.manifest import Example, read_manifest
from frostline.data.reading import names_nobody
from frostline.errors import ConfigError, FrostlineError
from frostline.runs.finished import FinishedRun
from frostline.runs.folder import RunFolder
from frostline.runs.holdout import name_test_set
from frostline.runs.predictions import SplitPredictions
from frostline.task import Task, choose_positive

PREFIX = "p_"
NEAR_ONE = 0.01  # by which the probabilities of an image may miss 1 as a sum: tables are rounded
ALONE = (
    "No patients are given: every image counts by itself. Where a patient has several, intervals are too narrow and "
    "differences are shown too easily: add a column patient."
)


def read_outside(file: Path, positive: str | None = "auto") -> list[FinishedRun]:
    """The models whose test predictions stand in a CSV: path, true, a column `p_CLASS` for each class, patient, model.

    Patient and model may be missing: beside a run's manifest its groups count. Of a column split the rows of `test`
    count. Raises `ConfigError` naming the line that is wrong.
    """
    names = read_table(file, ("path", "true")).names
    classes = tuple(name[len(PREFIX) :] for name in names if name.startswith(PREFIX))
    if len(classes) < 2:
        raise ConfigError(
            f"{file}: has no column {PREFIX}CLASS with the probability of each class (two classes or more); its "
            f"columns: {', '.join(names)}"
        )
    columns = [f"{PREFIX}{name}" for name in classes]
    table = read_table(file, ("path", "true", *columns), ("patient", "model", "split"))
    splits = {row.get("split", "test") for row in table.rows}
    if "test" not in splits:
        raise ConfigError(f"{file}: its column split has no test; its values: {', '.join(sorted(splits))}")
    by_model: dict[str, list[int]] = {}
    for i, row in enumerate(table.rows):
        if row.get("split", "test") != "test":  # thresholds and epochs were chosen by the others
            continue
        by_model.setdefault(row.get("model") or file.stem, []).append(i)
    found = []
    for model, rows in by_model.items():
        of = [table.rows[i] for i in rows]
        places = [table.place(i) for i in rows]
        probabilities = [
            [_number(row[c], f"{place}: {c}") for c in columns] for row, place in zip(of, places, strict=True)
        ]
        patients = [row["patient"] for row in of] if "patient" in table.columns else _groups_of_run(file, of)
        found.append(
            outside_run(
                [row["true"] for row in of],
                np.array(probabilities),
                classes,
                patients,
                [row["path"] for row in of],
                positive,
                model,
                places,
            )
        )
    return found


def _groups_of_run(file: Path, rows: Sequence[Mapping[str, str]]) -> list[str] | None:
    """The groups of these images by the manifest beside predictions of a run of ours; None where they are none."""
    manifest = RunFolder(file.parent).manifest
    if file != RunFolder(file.parent).predictions or not manifest.is_file():
        return None
    groups = {e.path: e.group for e in read_manifest(manifest)}
    return [groups[row["path"]] for row in rows] if all(row["path"] in groups for row in rows) else None


def outside_run(
    true: Sequence[str],
    probabilities: np.ndarray,
    classes: Sequence[str],
    patients: Sequence[str | None] | None = None,
    paths: Sequence[str] | None = None,
    positive: str | None = "auto",
    name: str = "model",
    places: Sequence[str] | None = None,
) -> FinishedRun:
    """Predictions as a run of which nothing else is known: `true` [N] names of classes, `probabilities` [N, C].

    `places` say where each stands, for messages. Raises `ConfigError` for what is no probability, no class, twice
    there, or of another length.
    """
    task = Task(tuple(classes), choose_positive(classes, positive))
    values, count = np.asarray(probabilities, dtype=float), len(true)
    if not count:
        raise ConfigError(f"{name}: no predictions")
    if values.shape != (count, len(classes)):
        raise ConfigError(
            f"{name}: probabilities of shape {values.shape} for {count} images and {len(classes)} classes"
        )
    paths = [f"image {i}" for i in range(count)] if paths is None else [*paths]
    for what, column in (("paths", paths), ("patients", patients)):
        if column is not None and len(column) != count:
            raise ConfigError(f"{name}: {len(column)} {what} for {count} images")
    where = [f"{name}, image {i}" for i in range(count)] if places is None else places
    seen: dict[str, str] = {}
    for i, (path, label, row) in enumerate(zip(paths, true, values, strict=True)):
        if path in seen:
            raise ConfigError(f"{where[i]}: {path} stands there twice (before: {seen[path]})")
        seen[path] = where[i]
        if label not in task.classes:
            raise ConfigError(f"{where[i]}: {label!r} is none of the classes ({', '.join(classes)})")
        if not (np.isfinite(row).all() and (row >= 0).all() and abs(row.sum() - 1) <= NEAR_ONE):
            shown = ", ".join(f"{v:g}" for v in row)
            raise ConfigError(f"{where[i]}: {shown} are no probabilities: each 0 to 1, together 1")
        if patients is not None and (patients[i] is None or names_nobody(str(patients[i]))):
            raise ConfigError(f"{where[i]}: its patient is not given; name every patient, or leave the column out")
    if len(set(true)) < 2:
        raise ConfigError(f"{name}: all images are {true[0]}: there is nothing to tell apart")
    groups = paths if patients is None else [str(p) for p in patients]
    rests = "" if patients is None else "table"
    examples = tuple(
        Example(path, path, label, group, "test", rests) for path, label, group in zip(paths, true, groups, strict=True)
    )
    exact = (values / values.sum(1, keepdims=True)).astype(np.float32)
    predictions = SplitPredictions(task, examples, exact).by_checksum()
    metrics: dict[str, Any] = {"patients_known": patients is not None}
    return FinishedRun(Path(name), task, metrics, {}, {"test": predictions}, name_test_set(examples))


def together(runs: Sequence[FinishedRun]) -> None:
    """Raise `FrostlineError` unless all models are of the same images, classes and patients."""
    first = runs[0]
    if len({run.folder for run in runs}) < len(runs):
        raise FrostlineError(f"{first.folder}: two models have one name; name them by a column model")
    for run in runs[1:]:
        if run.task != first.task:
            raise FrostlineError(
                f"{run.folder} tells apart {', '.join(run.task.classes)}, {first.folder} "
                f"{', '.join(first.task.classes)}: only predictions of the same classes, in one order, can be compared"
            )
        here, there = ({e.path: (e.label, e.group) for e in r.predictions["test"].examples} for r in (first, run))
        if here.keys() != there.keys():
            odd = next(iter(sorted(here.keys() ^ there.keys())))
            raise FrostlineError(f"{run.folder} and {first.folder} are not of the same images: {odd} is in one alone")
        for path, what in here.items():
            if what != there[path]:
                raise FrostlineError(
                    f"{path}: {run.folder} says {there[path][0]} of patient {there[path][1]}, {first.folder} {what[0]} "
                    f"of patient {what[1]}"
                )


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"{where} is {text!r}, no number") from None
    if not math.isfinite(value):
        raise ConfigError(f"{where} is {text}, no probability")
    return value
