"""The script that people write by hand, as the tutorials of Lightning and torchvision teach it: `speed.py` times it.

python benchmarks/peer.py FOLDER SIZE FREEZE EPOCHS    # the seconds of its epochs as JSON
"""

from __future__ import annotations

import json
import sys
import time
import warnings

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, random_split
from torchmetrics.classification import MulticlassAccuracy
from torchvision import models
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2


class Peer(L.LightningModule):
    """ResNet101, the share `freeze` / 345 of its convolutions without gradient."""

    def __init__(self, freeze: int, classes: int) -> None:
        super().__init__()
        self.net = models.resnet101(weights=None)
        self.net.fc = nn.Linear(self.net.fc.in_features, classes)
        convolutions = [m for m in self.net.modules() if isinstance(m, nn.Conv2d)]
        for module in convolutions[: round(len(convolutions) * min(1.0, freeze / 345))]:
            module.requires_grad_(False)
        self.acc = MulticlassAccuracy(classes)
        self.seconds: list[float] = []

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, targets = batch
        logits = self.net(images)
        loss = nn.functional.cross_entropy(logits, targets)
        self.log("train/loss", loss, on_epoch=True)
        self.log("train/acc", self.acc(logits, targets), on_epoch=True)
        return loss

    def on_train_epoch_start(self) -> None:
        self.begin = time.perf_counter()

    def on_train_epoch_end(self) -> None:
        self.seconds.append(time.perf_counter() - self.begin)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        images, targets = batch
        self.log("val/acc", self.acc(self.net(images), targets))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adamax((p for p in self.parameters() if p.requires_grad), lr=8.7e-5)


def main(folder: str, size: int, freeze: int, epochs: int) -> None:
    """Train, and say how long each epoch took, with one batch of validation."""
    warnings.filterwarnings("ignore")
    transform = v2.Compose(
        [
            v2.Grayscale(3),
            v2.Resize((size, size)),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    data = ImageFolder(folder, transform)
    train, val, _ = random_split(data, [0.7, 0.15, 0.15], torch.Generator().manual_seed(0))
    module = Peer(freeze, len(data.classes))
    trainer = L.Trainer(
        max_epochs=epochs, limit_val_batches=1, enable_progress_bar=False, logger=False, enable_checkpointing=False
    )
    trainer.fit(module, DataLoader(train, 16, shuffle=True), DataLoader(val, 16))
    print(json.dumps({"images": len(train), "epochs": module.seconds}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
