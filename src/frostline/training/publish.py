"""What a run sends to its tracker, and under which name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from frostline.config.schema import RunConfig
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
        project=c.project,
        entity=c.entity,
        mode=c.mode,
        name=run_name(config),
        group=config.study,
        job_type="train" if config.trial.number < 0 else "trial",
        tags=[config.data.name, config.model.name, config.data.split, *c.tags],
        config=asdict(config),
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
    """Send the result; images go by the first 12 digits of their checksum, for a path may name a patient."""
    tracker.log_summary({k: v for k, v in metrics.items() if v is not None and v == v})
    for split, p in predictions.items():
        classes = p.task.classes
        tracker.log_confusion_matrix(split, classes, p.targets.tolist(), p.predicted.tolist())
        rows = [[example.sha256[:12], *row] for example, row in zip(p.examples, prediction_rows(p), strict=True)]
        shown = ("true", "predicted", *(f"p_{n}" for n in classes))
        tracker.log_table(f"{split}/predictions", ("image", *shown), rows)
        whole = patients[split]
        tracker.log_confusion_matrix(f"{split}/patient", classes, whole.targets.tolist(), whole.predicted.tolist())
        rows = [
            [example.group, *row, count]
            for example, row, count in zip(whole.examples, prediction_rows(whole), whole.slices, strict=True)
        ]
        columns = (unit(metrics["patients_known"]), *shown, "slices")
        tracker.log_table(f"{split}/patient/predictions", columns, rows)
    manifest = [[e.sha256[:12], e.label, e.group, e.split] for e in data.examples]
    tracker.log_table("manifest", ("image", "class", "group", "split"), manifest)
    for name in PLOTS:
        if folder.plot(name).is_file():
            tracker.log_image(name, folder.plot(name))
