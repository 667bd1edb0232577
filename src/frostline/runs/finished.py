"""Finished runs, read back from their folders: metrics, options, and predictions with the group of every image."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frostline.config.schema import bearing
from frostline.data.manifest import read_manifest
from frostline.errors import FrostlineError, first_line
from frostline.evaluation.depth_curve import Curve, Raced, Saved, freezing_curve
from frostline.evaluation.metrics import evaluate
from frostline.runs.folder import RunFolder
from frostline.runs.holdout import name_test_set
from frostline.runs.predictions import Predictions, SplitPredictions, pool, read_predictions
from frostline.task import LUNG, Task, choose_positive


@dataclass(frozen=True)
class FinishedRun:
    """Folder, `metrics.json`, and predictions by split: `val`, and `test` when it was evaluated."""

    folder: Path
    task: Task
    metrics: dict[str, Any]
    options: dict[str, Any]
    """By full name, those that bear on the result."""
    predictions: Predictions
    test_set: str
    """Name of its test images, evaluated or not: `holdout.name_test_set`."""


def read_run(folder: Path, splits: Collection[str] = ("val", "test")) -> FinishedRun:
    """Read a run folder, of its predictions those on `splits`; a search reads `val` alone.

    Raises `FrostlineError` for a folder that is not there, or of a run that is not finished.
    """
    files = RunFolder(folder)
    metrics = files.read_metrics()
    try:
        options = files.read_options()
        task = task_of(options)
        examples = {e.path: e for e in read_manifest(files.manifest, task.classes, options.get("data.subgroups", ()))}
        predictions = read_predictions(files.predictions, task, examples, splits)
    except (OSError, KeyError, ValueError) as error:
        raise FrostlineError(
            f"{folder}: config.yaml, metrics.json, manifest.csv or predictions.csv cannot be read ({first_line(error)})"
        ) from None
    options |= {"data.classes": list(task.classes)}  # runs of before there was a choice do not say
    return FinishedRun(folder, task, metrics, bearing(options), predictions, name_test_set(examples.values()))


def task_of(options: Mapping[str, Any]) -> Task:
    """The task of a run's stored options; runs of before there was a choice had the report's."""
    classes = tuple(options.get("data.classes") or LUNG.classes)
    return Task(classes, choose_positive(classes, options.get("data.positive", "auto")))


def _in_words(task: Task) -> str:
    return f"{', '.join(task.classes)} (positive: {task.positive or 'none'})"


def metrics_of(run: FinishedRun, split: str) -> dict[str, Any]:
    """All metrics of a run on `split` with their intervals, from its predictions."""
    p = run.predictions[split]
    return evaluate(split, p.probabilities, p.targets, run.task, p.groups)


def same_images(runs: Sequence[FinishedRun], split: str) -> None:
    """Raise `FrostlineError` unless all runs evaluated the same images of `split`, told by checksums, and classes."""
    first = runs[0]
    for run in runs:
        if split not in run.predictions:
            raise FrostlineError(
                f"{run.folder}: its {split} images were not evaluated"
                + ("; it was run with test=false: compare with --split=val" if split == "test" else "")
            )
        if run.task != first.task:
            raise FrostlineError(
                f"{run.folder}: tells apart {_in_words(run.task)}, not {_in_words(first.task)} as {first.folder} does: "
                "only runs of the same classes and data.positive can be compared"
            )
    expected = Counter((e.sha256, e.label) for e in first.predictions[split].examples)
    for run in runs[1:]:
        there = Counter((e.sha256, e.label) for e in run.predictions[split].examples)
        if there != expected:
            raise FrostlineError(
                f"{run.folder}: {(there - expected).total()} of its {there.total()} {split} images are not among the "
                f"{expected.total()} of {first.folder}; only runs on the same images can be compared: train both with "
                f"the same data and data.split_seed, or data.split=manifest data.manifest={first.folder}/manifest.csv"
            )


def depth_curve(
    runs: Mapping[int, Sequence[FinishedRun]], objective: str, margin: float, raced: Raced | None = None
) -> Curve | None:
    """The curve of runs by depth on validation; None for a single depth, or when their images are not the same.

    Folds are pooled. Of runs of one depth with the same seed and fold the first counts. `margin`, 0..1: how far behind
    is no worse. Of a race what it has shown stands.
    """
    if len(runs) < 2:
        return None
    pooled = {depth: pool_folds(members) for depth, members in runs.items()}
    racing = [d for d in pooled if raced is None or d not in raced.left] or [*pooled]
    most = max((seed for depth in racing for seed in pooled[depth]), key=len)
    pooled = {d: [s for s in seeds if len(s) == len(most)] for d, seeds in pooled.items()}  # the rest lack a fold
    pooled = {d: seeds for d, seeds in pooled.items() if seeds}
    if len(pooled) < (2 if raced is None else 1) or any(
        _images(seed) != _images(most) for seeds in pooled.values() for seed in seeds
    ):
        return None
    first = most
    probabilities = {d: [seed.probabilities for seed in seeds] for d, seeds in pooled.items()}
    saved = {d: s for d in pooled if (s := saved_by_freezing(runs[d][0].metrics)) is not None}
    metric = objective.removeprefix("val/")
    return freezing_curve(probabilities, first.targets, first.groups, first.task, metric, margin, saved, raced)


def pool_folds(runs: Sequence[FinishedRun], split: str = "val") -> list[SplitPredictions]:
    """The predictions of every seed on `split`, pooled over its folds; of runs of the same seed and fold the first.

    Folds beside the test set (`data.val_fold`) share that: on `test` they are as many seeds.
    """
    by_seed: dict[Any, dict[Any, FinishedRun]] = defaultdict(dict)
    for run in runs:
        seed, fold, beside = (run.options.get(name) for name in ("seed", "data.fold", "data.val_fold"))
        if split == "test":
            by_seed[seed, beside].setdefault(fold, run)
        else:
            by_seed[seed].setdefault((fold, beside), run)
    return [pool([run.predictions[split] for run in folds.values()]) for folds in by_seed.values()]


def count_seeds(runs: Sequence[FinishedRun], trainings: int) -> int:
    """How many seeds stand behind so many `trainings`: one that lacks a fold is left out."""
    return min(trainings, len({run.options.get("seed") for run in runs}))


def trainings_in_words(runs: Sequence[FinishedRun], trainings: int) -> str:
    """`one seed`, `3 seeds`; `one seed on 5 folds` where networks of folds beside one test set are the `trainings`.

    Each of those has chances of its own (`recipe.chances_of`), and other images to learn from.
    """
    seeds, folds = count_seeds(runs, trainings), len({run.options.get("data.val_fold") for run in runs})
    words = f"{seeds} seeds" if seeds > 1 else "one seed"
    return words if seeds == trainings else f"{words} on {folds} folds"


def _images(predictions: SplitPredictions) -> tuple[Task, list[tuple[str, str]]]:
    return predictions.task, [(e.sha256, e.label) for e in predictions.examples]


def saved_by_freezing(metrics: Mapping[str, Any]) -> Saved | None:
    """What a run's frozen layers save: their backward pass, two thirds of their multiply-adds, and their parameters."""
    if "frozen/multiply_adds" not in metrics:
        return None
    return Saved(2 / 3 * float(metrics["frozen/multiply_adds"]), float(metrics["frozen/parameters"]))


def differing(runs: Sequence[FinishedRun]) -> list[str]:
    """For each run the options in which the runs differ, in words: `freeze=80 seed=1`; of others than ours none."""
    ours = [run for run in runs if run.options]
    keys = dict.fromkeys(key for run in ours for key in run.options)
    moved = [key for key in keys if len({str(run.options.get(key)) for run in ours}) > 1]
    return [" ".join(f"{key}={_short(run.options.get(key))}" for key in moved if run.options) for run in runs]


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "null" if value is None else str(value)
