"""Finished runs, read back from their folders: figures, and predictions with the group of every image."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from frostline.config.compose import read_options
from frostline.config.schema import CLASSES, NO_BEARING
from frostline.data.manifest import Example, read_manifest
from frostline.errors import FrostlineError, first_line
from frostline.evaluation.depth_curve import Curve, freezing_curve
from frostline.evaluation.metrics import evaluate
from frostline.runs.holdout import name_test_set


@dataclass(frozen=True)
class Predicted:
    """The images of a split in the order of their checksums, and what a run said of them."""

    examples: tuple[Example, ...]
    probabilities: np.ndarray
    """float [N, C]"""

    @property
    def targets(self) -> np.ndarray:
        """True classes, int [N]."""
        return np.array([e.label for e in self.examples])

    @property
    def groups(self) -> np.ndarray:
        """Names of the groups, [N]."""
        return np.array([e.group for e in self.examples])


@dataclass(frozen=True)
class FinishedRun:
    """Folder, `metrics.json`, and predictions by split: `val`, and `test` when it was evaluated."""

    folder: Path
    metrics: dict[str, Any]
    options: dict[str, Any]
    """By full name, those that bear on the result."""
    predictions: dict[str, Predicted]
    test_set: str
    """Name of its test images, evaluated or not: `looks.name_test_set`."""


def read_run(folder: Path) -> FinishedRun:
    """Read a run folder. Raises `FrostlineError` for one that is not there, or not finished."""
    if not folder.is_dir():
        raise FrostlineError(f"{folder}: no such folder; give the folder that a run printed at its end")
    if not (folder / "metrics.json").is_file():
        begun = (folder / "config.yaml").is_file()
        what = f"is not finished: go on with `python train.py resume={folder}`" if begun else "is no run folder"
        raise FrostlineError(f"{folder}: {what}")
    try:
        metrics = json.loads((folder / "metrics.json").read_text())
        options = {k: v for k, v in read_options(folder).items() if not k.startswith(NO_BEARING)}
        known = {e.path: e for e in read_manifest(folder / "manifest.csv")}
        with (folder / "predictions.csv").open(newline="") as lines:
            rows = sorted(csv.DictReader(lines), key=lambda row: (known[row["path"]].sha256, row["path"]))
        predictions = {
            split: _predicted([row for row in rows if row["split"] == split], known) for split in ("val", "test")
        }
    except (OSError, KeyError, ValueError) as error:
        raise FrostlineError(
            f"{folder}: config.yaml, metrics.json, manifest.csv or predictions.csv cannot be read ({first_line(error)})"
        ) from None
    there = {split: found for split, found in predictions.items() if found.examples}
    return FinishedRun(folder, metrics, options, there, name_test_set(known.values()))


def _predicted(rows: Sequence[dict[str, str]], known: dict[str, Example]) -> Predicted:
    probabilities = [[float(row[f"p_{name}"]) for name in CLASSES] for row in rows]
    return Predicted(tuple(known[row["path"]] for row in rows), np.array(probabilities))


def pool(parts: Sequence[Predicted]) -> Predicted:
    """The images of several parts, such as the folds of a cross-validation, as one."""
    examples = [e for part in parts for e in part.examples]
    order = sorted(range(len(examples)), key=lambda i: (examples[i].sha256, examples[i].path))
    probabilities = np.concatenate([part.probabilities for part in parts])
    return Predicted(tuple(examples[i] for i in order), probabilities[order])


def figures(run: FinishedRun, split: str) -> dict[str, float]:
    """All metrics of a run on `split` with their intervals, from its predictions."""
    found = run.predictions[split]
    scores, targets = torch.from_numpy(found.probabilities), torch.from_numpy(found.targets)
    return evaluate(split, scores, targets, CLASSES, found.groups)


def same_images(runs: Sequence[FinishedRun], split: str) -> None:
    """Raise `FrostlineError` unless all runs evaluated the same images of `split`, told by their checksums."""
    first = runs[0]
    for run in runs:
        if split not in run.predictions:
            raise FrostlineError(
                f"{run.folder}: its {split} images were not evaluated"
                + ("; it was run with test=false: compare with --split=val" if split == "test" else "")
            )
    expected = Counter((e.sha256, e.label) for e in first.predictions[split].examples)
    for run in runs[1:]:
        found = Counter((e.sha256, e.label) for e in run.predictions[split].examples)
        if found != expected:
            raise FrostlineError(
                f"{run.folder}: {(found - expected).total()} of its {found.total()} {split} images are not among the "
                f"{expected.total()} of {first.folder}; only runs on the same images can be compared: train both with "
                f"the same data and data.split_seed, or data.split=manifest data.manifest={first.folder}/manifest.csv"
            )


def depth_curve(runs: Mapping[int, Sequence[FinishedRun]], objective: str) -> Curve | None:
    """The curve of runs by depth on validation; None for a single depth, or when their images are not the same."""
    every = [run for members in runs.values() for run in members]
    try:
        same_images(every, "val")
    except FrostlineError:
        return None
    if len(runs) < 2:
        return None
    first = every[0].predictions["val"]
    probabilities = {d: [r.predictions["val"].probabilities for r in members] for d, members in runs.items()}
    return freezing_curve(probabilities, first.targets, first.groups, CLASSES, objective.removeprefix("val/"))


def differing(runs: Sequence[FinishedRun]) -> list[str]:
    """For each run the options in which the runs differ, in words: `freeze=80 seed=1`."""
    keys = dict.fromkeys(key for run in runs for key in run.options)
    moved = [key for key in keys if len({str(run.options.get(key)) for run in runs}) > 1]
    return [" ".join(f"{key}={_short(run.options.get(key))}" for key in moved) for run in runs]


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "null" if value is None else str(value)
