"""What a run sends to its tracker, and under which name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from frostline.config.schema import CLASSES, RunConfig
from frostline.data.datamodule import SliceDataModule
from frostline.errors import Stopped
from frostline.files import write_text
from frostline.runs.results import Predictions
from frostline.training.tracking import Tracker, track_run


@contextmanager
def track(config: RunConfig, run_dir: Path, data: SliceDataModule) -> Iterator[Tracker]:
    """Open the run at Weights & Biases; the same one when it is resumed."""
    file = run_dir / "wandb_run_id.txt"
    c = config.logger
    with track_run(
        enabled=c.name == "wandb",
        run_dir=run_dir,
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
    ) as tracker:
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
        ("seed", config.seed, usual.seed),
    ):
        if value != default:
            words.append(f"{short}={value}")
    return " ".join(words)


def track_result(
    tracker: Tracker, run_dir: Path, data: SliceDataModule, predictions: Predictions, metrics: dict[str, Any]
) -> None:
    """Send the result; images go by the first 12 digits of their checksum, for a path may name a patient."""
    tracker.log_summary({k: v for k, v in metrics.items() if v is not None and v == v})
    for split, (probabilities, targets) in predictions.items():
        tracker.log_confusion_matrix(split, CLASSES, targets.tolist(), probabilities.argmax(1).tolist())
        rows = [
            [e.sha256[:12], CLASSES[target], CLASSES[max(range(len(CLASSES)), key=p.__getitem__)], *p]
            for e, p, target in zip(data.data.of(split), probabilities.tolist(), targets.tolist(), strict=True)
        ]
        tracker.log_table(f"{split}/predictions", ("image", "true", "predicted", *(f"p_{n}" for n in CLASSES)), rows)
    manifest = [[e.sha256[:12], CLASSES[e.label], e.group, e.split] for e in data.data.examples]
    tracker.log_table("manifest", ("image", "class", "group", "split"), manifest)
    for picture in ("curves", "confusion_matrix", "operating"):
        if (run_dir / f"{picture}.png").is_file():
            tracker.log_picture(picture, run_dir / f"{picture}.png")
