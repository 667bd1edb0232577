"""What a run sends to its tracker, and under which name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from frostline.config.schema import PRIVATE, LoggerConfig, RunConfig
from frostline.data.dataset import SplitData
from frostline.errors import Stopped
from frostline.files import write_text
from frostline.runs.folder import PLOTS, RunFolder
from frostline.runs.patients import PatientPredictions, unit
from frostline.runs.predictions import Predictions, prediction_rows
from frostline.training.trackers.choose import track_run
from frostline.training.trackers.interface import TrackedRun, Tracker


@contextmanager
def track(config: RunConfig, folder: RunFolder) -> Iterator[Tracker]:
    """Open the run at its tracker; the same one when it is resumed."""
    c = config.logger
    file = folder.tracker_id(c.name)
    run = TrackedRun(
        run_dir=folder.path,
        logs_dir=Path(config.logs_dir),
        project=project_of(c),
        entity=c.entity,
        mode=c.mode,
        name=name_of(config),
        group=config.study,
        job_type="train" if config.trial.number < 0 else "trial",
        tags=[config.data.name, config.model.name, config.data.split, *(c.tags or tags_of_environment(c))],
        config=without_private(config),
        run_id=file.read_text().strip() if file.is_file() else None,
        timeout=c.timeout,
    )
    with track_run(c.name, run) as tracker:
        if tracker.run_id:
            write_text(file, tracker.run_id)
        try:
            yield tracker
        except BaseException as error:
            stopped = isinstance(error, (Stopped, KeyboardInterrupt))
            tracker.log_summary({"state": "stopped" if stopped else "failed", "trial": config.trial.number})
            raise


def without_private(config: RunConfig) -> dict[str, Any]:
    """All options, nested, as they are told to others: without paths, and what may name people."""
    told = asdict(config)
    for name in PRIVATE:
        *sections, key = name.split(".")
        place = told[sections[0]] if sections else told
        place[key] = "(left out)" if place[key] else place[key]
    weights = config.model.weights
    if weights is not None and (Path(weights).suffix or "/" in weights):
        told["model"]["weights"] = "(left out)"
    return told


def project_of(logger: LoggerConfig) -> str:
    """The project at a tracker; `WANDB_PROJECT` counts at Weights & Biases where no other one is given."""
    if logger.name == "wandb" and logger.project == LoggerConfig().project:
        return os.environ.get("WANDB_PROJECT") or logger.project
    return logger.project


def tags_of_environment(logger: LoggerConfig) -> list[str]:
    """What `WANDB_TAGS` says, where it counts."""
    given = os.environ.get("WANDB_TAGS", "") if logger.name == "wandb" else ""
    return [tag.strip() for tag in given.split(",") if tag.strip()]


def name_of(config: RunConfig) -> str:
    """What a run is called at a tracker: as `WANDB_NAME` says, by which trials of a study would not be told apart."""
    given = os.environ.get("WANDB_NAME", "") if config.logger.name == "wandb" else ""
    if not given or config.trial.number < 0:
        return given or run_name(config)
    return f"{given} {run_name(config)}"


def pseudonyms(groups: Iterable[str]) -> dict[str, str]:
    """A name for each group that tells nothing of a patient: numbers in the order of the manifest."""
    return {group: f"group {i}" for i, group in enumerate(dict.fromkeys(groups), 1)}


def run_name(config: RunConfig) -> str:
    """What tells this run from others: `freeze=80 adamax 8.7e-05`, and what is not as usual."""
    usual = RunConfig(freeze=0)
    words = [f"freeze={config.freeze}", config.optimizer.name, f"{config.optimizer.lr:g}"]
    if config.model.name != usual.model.name:
        words.append(config.model.name)
    if config.data.split != usual.data.split:
        words.append(config.data.split)
    for short, value, default in (
        ("bs", config.data.batch_size, usual.data.batch_size),
        ("split_seed", config.data.split_seed, usual.data.split_seed),
        ("fold", config.data.fold, usual.data.fold),
        ("val_fold", config.data.val_fold, usual.data.val_fold),
        ("seed", config.seed, usual.seed),
    ):
        if value != default:
            words.append(f"{short}={value}")
    return " ".join(words)


def track_result(
    tracker: Tracker,
    folder: RunFolder,
    data: SplitData,
    predictions: Predictions,
    patients: Mapping[str, PatientPredictions],
    metrics: Mapping[str, Any],
) -> None:
    """Send the result; images go by 12 digits of their checksum, groups by a number: paths and groups name patients."""
    tracker.log_summary({k: v for k, v in metrics.items() if v is not None and v == v})
    named = pseudonyms(e.group for e in data.examples)
    for split, p in predictions.items():
        classes = p.task.classes
        tracker.log_confusion_matrix(split, classes, p.targets.tolist(), p.predicted.tolist())
        rows = [[example.sha256[:12], *row] for example, row in zip(p.examples, prediction_rows(p), strict=True)]
        shown = ("true", "predicted", *(f"p_{n}" for n in classes))
        tracker.log_table(f"{split}/predictions", ("image", *shown), rows)
        whole = patients[split]
        tracker.log_confusion_matrix(f"{split}/patient", classes, whole.targets.tolist(), whole.predicted.tolist())
        rows = [
            [named[example.group], *row, count]
            for example, row, count in zip(whole.examples, prediction_rows(whole), whole.slices, strict=True)
        ]
        columns = (unit(metrics["patients_known"]), *shown, "slices")
        tracker.log_table(f"{split}/patient/predictions", columns, rows)
    manifest = [[e.sha256[:12], e.label, named[e.group], e.split] for e in data.examples]
    tracker.log_table("manifest", ("image", "class", "group", "split"), manifest)
    for name in PLOTS:
        if folder.plot(name).is_file():
            tracker.log_image(name, folder.plot(name))
