"""A further process of a run that several train: it takes its part in every step, and writes nothing."""

from __future__ import annotations

import logging
from pathlib import Path

import lightning as L

from frostline.config.compose import read_config
from frostline.data.datamodule import SliceDataModule
from frostline.data.dataset import check_data
from frostline.runs.folder import RunFolder
from frostline.training.hardware import choose_hardware
from frostline.training.recipe import chances_of, fit, never_prune, prepare_model, quiet_libraries
from frostline.training.replicas import Place, tell_ready
from frostline.training.trackers.interface import Tracker


def main(run_dir: str, rank: int, of: int, port: int, checkpoint: str, parent: int) -> None:
    """Train along with process 0 of the run in `run_dir`, from `checkpoint` on where there is one."""
    logging.getLogger("frostline").setLevel(logging.CRITICAL)
    quiet_libraries()
    folder, place = RunFolder(Path(run_dir)), Place(rank, of, port)
    config = read_config(folder.path)
    task = check_data(config.data)
    hardware = choose_hardware(config.trainer)
    seed = chances_of(config)
    L.seed_everything(seed, workers=True, verbose=False)
    data = SliceDataModule(config.data, seed, Path(config.logs_dir) / "cache", rank, of)
    data.setup("fit")
    model = prepare_model(config, len(task))
    tell_ready(parent)
    fit(config, folder, model, data, hardware, Tracker(), never_prune, Path(checkpoint) if checkpoint else None, place)
