"""The LightningModule: one shared step, one set of metrics for each stage."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from frostline.config.schema import OptimizerConfig, SchedulerConfig, UnfreezingConfig
from frostline.errors import FrostlineError
from frostline.models.classifier import SliceClassifier
from frostline.seeding import derive_seed
from frostline.training.checkpoints import RECORD, refuse_other_classes
from frostline.training.optimizers import build_optimizer, build_scheduler
from frostline.training.replicas import global_mean, share_statistics

Batch = tuple["Tensor | list[Tensor]", Tensor]


def epoch_metrics(classes: int) -> MetricCollection:
    """What is followed from epoch to epoch: accuracy and balanced accuracy (mean recall of the classes)."""
    return MetricCollection(
        {
            # Looking at the values would make a GPU wait in every step; `Diverged` tells of those that are none.
            "acc": MulticlassAccuracy(classes, average="micro", validate_args=False),
            "balanced_acc": MulticlassAccuracy(classes, average="macro", validate_args=False),
        }
    )


def stages_waiting(config: UnfreezingConfig, stages: int, epoch: int) -> int:
    """How many of a backbone's stages do not train yet in `epoch`, counted from 0."""
    if epoch < config.head_epochs:
        return stages
    if config.stage_epochs == 0:
        return 0
    return max(0, stages - 1 - (epoch - config.head_epochs) // config.stage_epochs)


UNCHECKED = 32  # losses that are looked at together: each look makes a GPU wait


class Diverged(FrostlineError):
    """The loss is no number."""


class FineTuner(L.LightningModule):
    """Fine-tunes a `SliceClassifier` on batches of images [N, 1, H, W], or what frozen layers made of them.

    Follows `train/` and `val/` `loss`, `acc`, `balanced_acc` by epoch. `record` are plain values that go into every
    checkpoint; its `classes` are those of the head, and a checkpoint of others is refused. Raises `Diverged` when the
    loss is no number.
    """

    def __init__(
        self,
        model: SliceClassifier,
        loss: nn.Module,
        optimizer: OptimizerConfig,
        scheduler: SchedulerConfig,
        unfreezing: UnfreezingConfig,
        seed: int,
        record: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self._optimizer, self._scheduler, self._unfreezing = optimizer, scheduler, unfreezing
        self._seed, self._record = seed, dict(record)
        self._by_epoch = False
        self.metrics = nn.ModuleDict(
            {f"{s}_": epoch_metrics(len(record["classes"])).clone(prefix=f"{s}/") for s in ("train", "val")}
        )
        self.losses = nn.ModuleDict({f"{s}_": MeanMetric(nan_strategy="disable") for s in ("train", "val")})
        self._unchecked: list[tuple[str, int, Tensor]] = []

    def forward(self, images: Tensor | list[Tensor]) -> Tensor:
        logits: Tensor = self.model(images)
        return logits

    def _step(self, batch: Batch, stage: str, batch_idx: int) -> Tensor:
        images, targets = batch
        logits = self(images).float()
        loss: Tensor = self.loss(logits, targets)
        self._unchecked.append((stage, batch_idx, loss.detach()))
        if len(self._unchecked) == UNCHECKED:
            self._check()
        self.metrics[f"{stage}_"].update(logits.detach(), targets)  # type: ignore[operator]  # a MetricCollection
        self.losses[f"{stage}_"].update(loss.detach(), len(targets))  # type: ignore[operator]  # a MeanMetric
        return loss

    def _check(self) -> None:
        """Raise `Diverged` for the first of the losses since the last look that is no number."""
        unchecked, self._unchecked = self._unchecked, []
        losses = torch.stack([loss for *_, loss in unchecked]).tolist() if unchecked else []
        for (stage, batch_idx, _), loss in zip(unchecked, losses, strict=True):
            if not math.isfinite(loss):
                raise Diverged(
                    f"the {stage} loss is {loss} in epoch {self.current_epoch + 1}, batch {batch_idx + 1}: lower "
                    f"optimizer.lr (now {self._optimizer.lr:g}), or set trainer.gradient_clip=1 or "
                    "trainer.precision=float32"
                )

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        if batch_idx == 0:  # not on_train_epoch_start: Lightning leaves that out in the first epoch after resuming
            self.model.wait(stages_waiting(self._unfreezing, len(self.model.stages), self.current_epoch))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        # Dropout draws from (seed, epoch, batch), so that a step is the same whether or not the run was stopped before.
        share = (self.global_rank,) if self.trainer.world_size > 1 else ()  # each process has images of its own
        torch.manual_seed(derive_seed(self._seed, self.current_epoch, batch_idx, *share))
        loss = self._step(batch, "train", batch_idx)
        return global_mean(loss, self._weight(batch[1])) if share else loss

    def _weight(self, targets: Tensor) -> Tensor:
        """What the loss of images of these classes was divided by."""
        weight = self.loss.weight if isinstance(self.loss, nn.CrossEntropyLoss) else None
        return torch.tensor(float(len(targets)), device=self.device) if weight is None else weight[targets].sum()

    def on_validation_epoch_start(self) -> None:
        if self.trainer.world_size > 1:
            share_statistics(self.model)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._step(batch, "val", batch_idx)

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:
        images, targets = batch
        return self(images).float().softmax(-1), targets

    def _finish(self, stage: str) -> None:
        self._check()
        self.log_dict({f"{stage}/loss": self.losses[f"{stage}_"].compute(), **self.metrics[f"{stage}_"].compute()})  # type: ignore[operator]  # metrics
        self.losses[f"{stage}_"].reset()  # type: ignore[operator]  # a MeanMetric
        self.metrics[f"{stage}_"].reset()  # type: ignore[operator]  # a MetricCollection

    def on_train_epoch_end(self) -> None:
        self._finish("train")
        scheduler = self.lr_schedulers()
        if self._by_epoch and isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(self.trainer.callback_metrics["val/loss"])
        elif self._by_epoch:
            scheduler.step()  # type: ignore[union-attr]  # there is one

    def on_validation_epoch_end(self) -> None:
        self._finish("val")

    def configure_optimizers(self) -> Any:
        o, s = self._optimizer, self._scheduler
        groups = self.model.learning_rate_groups(o.layer_decay, o.head_factor)
        optimizer = build_optimizer(groups, o.name, o.lr, o.weight_decay, o.options)
        built = build_scheduler(optimizer, s.name, int(self.trainer.estimated_stepping_batches), s.options)
        if built is None:
            return optimizer
        scheduler, interval = built
        self._by_epoch = interval == "epoch"
        # Lightning steps these after the epoch's checkpoint, which would then lack the step: stepped above instead.
        frequency = 10**9 if self._by_epoch else 1
        config = {"scheduler": scheduler, "interval": interval, "frequency": frequency, "monitor": "val/loss"}
        return {"optimizer": optimizer, "lr_scheduler": config}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[RECORD] = self._record

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        refuse_other_classes(self._record, checkpoint)
