"""What checkpoints hold, how they are written whole, and how they are read back."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from frostline.config.schema import RunConfig
from frostline.errors import FrostlineError
from frostline.evaluation.conformal import class_scores
from frostline.evaluation.unlike import Familiar
from frostline.files import sync_file
from frostline.models.classifier import BuiltModel
from frostline.runs.folder import RunFolder
from frostline.runs.predictions import SplitPredictions
from frostline.task import Task

log = logging.getLogger("frostline")

RECORD = "frostline"  # where a checkpoint keeps what `checkpoint_record` gives


def checkpoint_record(config: RunConfig, model: BuiltModel, task: Task) -> dict[str, Any]:
    """Plain values that a checkpoint carries, so that it can be used without the data set or the config."""
    return {
        "classes": list(task.classes),
        "positive": task.positive,
        "freeze": config.freeze,
        "freeze_unit": config.freeze_unit,
        "weights": model.weights,
        "model": asdict(config.model),
        "input": {"mean": list(model.input.mean), "std": list(model.input.std), "turned": model.input.ras_axes},
        "image_size": config.data.image_size,
        "window": [config.data.window_center, config.data.window_width],
        "values": {
            "kind": config.data.values,
            "offset": config.data.values_offset,
            "dicom_keep": list(config.data.dicom_keep),
        },
    }


def keep_chosen(
    file: Path, metrics: Mapping[str, Any], val: SplitPredictions, familiar: Familiar | None = None
) -> None:
    """Put what is known after training into a checkpoint, for its use on new images.

    Temperature, threshold and scores for prediction sets are by validation; `familiar` is how training images look.
    """
    checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    threshold = metrics.get("operating/threshold")
    checkpoint[RECORD]["chosen"] = {
        "temperature": float(metrics["temperature"]),
        "threshold": None if threshold is None or threshold != threshold else float(threshold),
        "never": sorted({*range(len(val.task))} - {*val.predicted.tolist()}),
        "sensitivity": metrics.get("operating/wanted_sensitivity"),
        "conformal": [
            {"scores": list(one.scores), "weights": list(one.weights)}
            for one in class_scores(val.probabilities, val.targets, val.groups)
        ],
    }
    if familiar is not None:
        checkpoint[RECORD]["familiar"] = {
            "features": torch.from_numpy(familiar.features).half(),
            "features_limit": familiar.features_limit,
            "mean": torch.from_numpy(familiar.mean).float(),
            "precision": torch.from_numpy(familiar.precision).float(),
            "looks_limit": familiar.looks_limit,
            "rows": torch.from_numpy(familiar.rows).int(),
        }
    partial = file.with_name(f".{file.name}")
    torch.save(checkpoint, partial)
    partial.replace(file)


def refuse_other_classes(ours: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> None:
    """Raise `FrostlineError` for a checkpoint of other classes, or of the same in another order."""
    classes = checkpoint.get(RECORD, {}).get("classes")
    if classes != ours["classes"]:
        theirs = "no classes of frostline" if classes is None else ", ".join(classes)
        raise FrostlineError(
            f"the checkpoint was trained to tell apart {theirs}; these data have {', '.join(ours['classes'])}: "
            "take the data that it was trained on, or start a new run"
        )


def usable_checkpoint(folder: RunFolder) -> Path | None:
    """The last checkpoint of a run that is whole, to go on from; None where there is none.

    Both torch and a power cut leave half files: every part of one has a checksum (its zip's CRC), which is looked at.
    """
    for file in (folder.last_checkpoint, folder.previous_checkpoint):
        if not file.is_file():
            continue
        try:
            with zipfile.ZipFile(file) as parts:
                if parts.testzip() is None:
                    return file
        except (zipfile.BadZipFile, OSError, EOFError):
            pass
        log.warning(f"{file} is damaged: it is left out")
    return None


def keep_last(trainer: L.Trainer, folder: RunFolder) -> None:
    """Write the state to resume from, and keep the one before."""
    partial = folder.path / f".{folder.last_checkpoint.name}"
    trainer.save_checkpoint(partial, weights_only=False)
    if not trainer.is_global_zero:
        return
    sync_file(partial)
    with suppress(FileNotFoundError):
        folder.last_checkpoint.replace(folder.previous_checkpoint)
    partial.replace(folder.last_checkpoint)


class InPlace(TorchCheckpointIO):
    """Writes where it is told to: Lightning's own fills TMPDIR first, and a kill leaves it there."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        torch.save(checkpoint, path)


def save_checkpoint(trainer: L.Trainer, file: Path, weights_only: bool) -> None:
    """Write a checkpoint whole or not at all."""
    partial = file.with_name(f".{file.name}")
    trainer.save_checkpoint(partial, weights_only=weights_only)
    if trainer.is_global_zero:
        partial.replace(file)


def load_chosen(module: L.LightningModule, file: Path) -> int:
    """Put the chosen epoch's weights into `module`; returns that epoch, counted from 1."""
    checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    module.load_state_dict(checkpoint["state_dict"])
    return int(checkpoint["epoch"]) + 1
