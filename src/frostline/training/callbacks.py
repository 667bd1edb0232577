"""What happens at the end of an epoch: compare, save, write, show."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, Checkpoint
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from frostline.files import write_csv
from frostline.runs.folder import RunFolder
from frostline.training.averaging import AveragedWeights
from frostline.training.checkpoints import keep_last, save_checkpoint

COLUMNS = (
    "epoch",
    "train/loss",
    "train/acc",
    "train/balanced_acc",
    "val/loss",
    "val/acc",
    "val/balanced_acc",
    "lr",
    "seconds",
)


class EpochRecorder(Checkpoint):
    """Keeps the history, the chosen epoch's weights (`model.ckpt`) and the state to resume from (`last.ckpt`).

    `monitor` chooses the epoch, of equal ones by the lowest `val/loss`, of equal ones the first; `none` keeps the last,
    and no validation image has a say in the weights, but by scheduler=plateau. The history goes with the checkpoint, so
    that a resumed run continues it. `last.ckpt` is written after an epoch, but not more often than every `seconds`: it
    holds the optimiser too, and takes seconds to write; with `keep_state` after the last one in any case. `prune` sees
    every epoch and ends the training when it answers yes; `resumed` sees those that a resumed run has behind it.
    """

    def __init__(
        self,
        folder: RunFolder,
        monitor: str,
        patience: int,
        seconds: float,
        report: Callable[[dict[str, float], bool], None],
        resumed: Callable[[list[dict[str, float]]], None],
        prune: Callable[[dict[str, float]], bool],
        averaged: AveragedWeights | None = None,
        keep_state: bool = False,
    ) -> None:
        self._folder, self._monitor, self._patience, self._seconds = folder, monitor, patience, seconds
        self._report, self._resumed, self._prune, self._averaged = report, resumed, prune, averaged
        self._keep_state = keep_state
        self.pruned = False
        self._saved = time.monotonic()
        self.history: list[dict[str, float]] = []
        self.best = -1
        self._began = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history, self.best = list(state_dict["history"]), state_dict["best"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.history:
            self._resumed(self.history)
        if self._exhausted():  # stopped between the early stop and the evaluation
            trainer.should_stop = True

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 0:  # not on_train_epoch_start: Lightning leaves that out in the first epoch after resuming
            self._began = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        row = {key: float(value) for key, value in trainer.callback_metrics.items() if key in COLUMNS}
        row |= {"epoch": trainer.current_epoch, "lr": trainer.optimizers[0].param_groups[0]["lr"]}
        row["seconds"] = time.monotonic() - self._began
        self.history.append(row)
        is_last = len(self.history) >= (trainer.max_epochs or 0)
        better = self.best < 0 or self._rank(row) > self._rank(self.history[self.best])
        if better:
            self.best = len(self.history) - 1
        if better and (self._monitor != "none" or is_last):
            self._keep(trainer, pl_module)
        # Of several processes the first decides: clocks differ.
        if trainer.strategy.broadcast(time.monotonic() - self._saved >= self._seconds) or (
            self._keep_state and (is_last or self._exhausted())
        ):
            keep_last(trainer, self._folder)
            self._saved = time.monotonic()
        if trainer.is_global_zero:
            write_csv(self._folder.history, COLUMNS, [[r.get(c, "") for c in COLUMNS] for r in self.history])
            self._report(row, better and self._monitor != "none")
            self.pruned = self._prune(row) and not is_last
        self.pruned = trainer.strategy.broadcast(self.pruned)
        if self.pruned and self._monitor == "none":
            self._keep(trainer, pl_module)
        if self.pruned or self._exhausted():
            trainer.should_stop = True

    def _keep(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Save the weights that validation has just scored."""
        with self._averaged.swapped_in(trainer, module) if self._averaged else nullcontext():
            save_checkpoint(trainer, self._folder.best_checkpoint, weights_only=True)

    def _exhausted(self) -> bool:
        return 0 < self._patience <= len(self.history) - 1 - self.best

    def _rank(self, row: dict[str, float]) -> tuple[float, float]:
        if self._monitor == "none":
            return row["epoch"], 0.0
        value = row[self._monitor]
        return -value if self._monitor == "val/loss" else value, -row["val/loss"]


class EpochBar(Callback):
    """One bar for the run on a terminal: epoch, batches, time left."""

    def __init__(self) -> None:
        self._bar: Progress | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not sys.stdout.isatty():
            return
        total = int(trainer.num_training_batches) * (trainer.max_epochs or 1)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("batches, left"))
        self._bar = Progress(*columns, TimeRemainingColumn(), console=Console(), transient=True, refresh_per_second=2)
        self._bar.add_task("training", total=total, completed=trainer.fit_loop.total_batch_idx + 1)
        self._bar.start()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if self._bar is not None:
            what = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self._bar.update(self._bar.task_ids[0], completed=trainer.fit_loop.total_batch_idx + 1, description=what)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
