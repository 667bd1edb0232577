"""What checkpoints hold, and how they are read back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
import torch

from frostline.config.schema import CLASSES, RunConfig
from frostline.models.classifier import BuiltModel
from frostline.training.module import FineTuner


def checkpoint_record(config: RunConfig, model: BuiltModel) -> dict[str, Any]:
    """Plain values that a checkpoint carries, so that it can be used without the data set or the config."""
    return {
        "classes": list(CLASSES),
        "freeze": config.freeze,
        "freeze_unit": config.freeze_unit,
        "weights": model.weights,
        "model": asdict(config.model),
        "input": {"mean": list(model.input.mean), "std": list(model.input.std), "turned": model.input.ras_axes},
        "image_size": config.data.image_size,
        "window": [config.data.window_center, config.data.window_width],
    }


def load_best(module: FineTuner, run_dir: Path) -> int:
    """Put the best epoch's weights into `module`; returns that epoch, counted from 1."""
    checkpoint = torch.load(run_dir / BEST, map_location="cpu", weights_only=True)
    module.load_state_dict(checkpoint["state_dict"])
    return int(checkpoint["epoch"]) + 1


BEST, LAST = "model.ckpt", "last.ckpt"


def save_checkpoint(trainer: L.Trainer, file: Path, weights_only: bool) -> None:
    partial = file.with_name(f".{file.name}")
    trainer.save_checkpoint(partial, weights_only=weights_only)
    partial.replace(file)
