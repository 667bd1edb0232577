"""Decoded pictures in memory: each file is read and resized once, as long as there is room."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from frostline.data.records import read_again


class PictureCache:
    """Pictures of `paths` below `root`, float32 [1, size, size] in 0..1, kept until `gigabytes` are full."""

    def __init__(
        self, root: Path, paths: Sequence[str], size: int, window: tuple[float, float], gigabytes: float
    ) -> None:
        self._files = [root / path for path in paths]
        self._size = size
        self._window = window
        room = int(gigabytes * 1e9 / (4 * size * size))
        self._kept: dict[int, Tensor] = {}
        self._room = room

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Tensor:
        picture = self._kept.get(index)
        if picture is None:
            picture = load_picture(self._files[index], self._size, self._window)
            if len(self._kept) < self._room:
                self._kept[index] = picture
        return picture


def load_picture(file: Path, size: int, window: tuple[float, float]) -> Tensor:
    """Read a picture and resize it to float32 [1, size, size] in 0..1 (bilinear with antialiasing, aspect not kept).

    Raises `FrostlineError` naming the file when it cannot be read.
    """
    picture = torch.from_numpy(read_again(file, window))[None]
    resized: Tensor = F.resize(picture, [size, size], antialias=True)
    return resized.clamp(0, 1)
