"""Decoded images in memory: each file is read and resized once, as long as there is room."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from frostline.data.images import Reading
from frostline.data.records import read_again


class ImageCache:
    """Images of `paths` below `root`, float32 [1, size, size] in 0..1, kept until `gigabytes` are full."""

    def __init__(self, root: Path, paths: Sequence[str], size: int, reading: Reading, gigabytes: float) -> None:
        self._files = [root / path for path in paths]
        self._size = size
        self._reading = reading
        room = int(gigabytes * 1e9 / (4 * size * size))
        self._kept: dict[int, Tensor] = {}
        self._room = room

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Tensor:
        image = self._kept.get(index)
        if image is None:
            image = load_image(self._files[index], self._size, self._reading)
            if len(self._kept) < self._room:
                self._kept[index] = image
        return image


def load_image(file: Path, size: int, reading: Reading) -> Tensor:
    """Read an image and resize it to float32 [1, size, size] in 0..1 (bilinear with antialiasing, aspect not kept).

    Raises `FrostlineError` naming the file when it cannot be read.
    """
    image = torch.from_numpy(read_again(file, reading))[None]
    resized: Tensor = F.resize(image, [size, size], antialias=True)
    return resized.clamp(0, 1)
