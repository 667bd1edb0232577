"""Averages of the weights over steps, which validation, the kept epoch and the test then use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from frostline.config.schema import TrainerConfig


class AveragedWeights(WeightAveraging):
    """Lightning's weight averaging, with an average that is no worse than the weights before it has begun.

    `trainer.averaging=ema`: after every step the average moves by 1 - decay towards the weights (Polyak and Juditsky
    1992), the decay warming up as (1 + n) / (10 + n). `swa`: the plain mean over the steps after `averaging_from` of
    the training (Izmailov et al. 2018, arXiv:1803.05407), BatchNorm's statistics included; the weights themselves
    before. What is equal in both stays equal bit for bit: frozen layers do not move.
    """

    def __init__(self, config: TrainerConfig) -> None:
        super().__init__(avg_fn=self._mean if config.averaging == "swa" else self._moving)
        self._decay, self._from, self._first = config.averaging_decay, config.averaging_from, 0

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._device = trainer.strategy.root_device  # the module is moved there only later
        super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._first = int(self._from * trainer.estimated_stepping_batches)

    @contextmanager
    def swapped_in(self, trainer: L.Trainer, module: L.LightningModule) -> Iterator[None]:
        """The averaged weights in place of the module's, as in validation."""
        self.on_validation_epoch_start(trainer, module)
        try:
            yield
        finally:
            self.on_validation_epoch_end(trainer, module)

    def _mean(self, average: Tensor, now: Tensor, count: Tensor) -> Tensor:
        after = count - self._first
        if after <= 0 or not average.is_floating_point():
            return now
        return average + (now - average) / (after + 1)

    def _moving(self, average: Tensor, now: Tensor, count: Tensor) -> Tensor:
        if not average.is_floating_point():
            return now
        share = 1 - min(self._decay, (1 + int(count)) / (10 + int(count)))
        return torch.lerp(average, now, share)
