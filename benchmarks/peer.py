"""The script that people write by hand, as the tutorials of Lightning and torchvision teach it: `speed.py` times it.

python benchmarks/peer.py FOLDER SIZE FREEZE EPOCHS [timm]    # the seconds of its epochs as JSON

With `timm` its transforms and its loader take the place of torchvision's and torch's.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, random_split
from torchmetrics.classification import MulticlassAccuracy
from torchvision import models
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

SHARES = (0.7, 0.15, 0.15)
Loader = DataLoader[Any]


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


def torchvision_loaders(folder: str, size: int) -> tuple[list[str], Loader, Loader]:
    """Classes, and batches for training and validation."""
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
    train, val, _ = random_split(data, SHARES, torch.Generator().manual_seed(0))
    return data.classes, DataLoader(train, 16, shuffle=True), DataLoader(val, 16)


def timm_loaders(folder: str, size: int) -> tuple[list[str], Loader, Loader]:
    """The same by timm: images are mirrored, and nothing else."""
    import timm.data

    samples = ImageFolder(folder).samples
    parts = random_split(range(len(samples)), SHARES, torch.Generator().manual_seed(0))  # type: ignore[arg-type]  # any sequence
    made = []
    for part, training in zip(parts[:2], (True, False), strict=True):
        dataset = timm.data.ImageDataset(folder)
        dataset.reader.samples = [samples[i] for i in part.indices]
        made.append(
            timm.data.create_loader(
                dataset,
                (3, size, size),
                16,
                is_training=training,
                use_prefetcher=torch.cuda.is_available(),
                scale=(1.0, 1.0),
                ratio=(1.0, 1.0),
                color_jitter=None,
                crop_pct=1.0,
                interpolation="bilinear",
                num_workers=0,
                persistent_workers=False,
                device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
            )
        )
    return ImageFolder(folder).classes, made[0], made[1]


def main(folder: str, size: int, freeze: int, epochs: int, loader: str = "torchvision") -> None:
    """Train, and say how long each epoch took, with one batch of validation."""
    warnings.filterwarnings("ignore")
    classes, train, val = (timm_loaders if loader == "timm" else torchvision_loaders)(folder, size)
    module = Peer(freeze, len(classes))
    trainer = L.Trainer(
        max_epochs=epochs, limit_val_batches=1, enable_progress_bar=False, logger=False, enable_checkpointing=False
    )
    trainer.fit(module, train, val)
    print(json.dumps({"images": len(train.dataset), "epochs": module.seconds}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]), *sys.argv[5:])
