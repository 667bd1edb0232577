"""Decoded images: each file is read and resized once, in memory by a run, on disk by all runs together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from frostline.data.images import Reading
from frostline.data.manifest import Example
from frostline.data.records import VERSION, file_sha256, read_again
from frostline.data.shared import SharedTensors
from frostline.errors import FrostlineError


class ImageCache:
    """Images of `examples` below `root`, float32 [1, size, size] in 0..1, kept in memory until `gigabytes` are full.

    Images that are not kept come from `shared`, where that is given, and are put there.
    """

    def __init__(
        self,
        root: Path,
        examples: Sequence[Example],
        size: int,
        reading: Reading,
        gigabytes: float,
        shared: SharedTensors | None = None,
    ) -> None:
        self._root, self._examples, self._size, self._reading, self._shared = root, examples, size, reading, shared
        self._kept: dict[int, Tensor] = {}
        self._room = int(gigabytes * 1e9 / bytes_of(size))

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Tensor:
        image = self._kept.get(index)
        if image is None:
            image = self._read(self._examples[index])
            if len(self._kept) < self._room:
                self._kept[index] = image
        return image

    def _read(self, example: Example) -> Tensor:
        found = self._shared.find(example.sha256) if self._shared else None
        if found and found[0].shape == (1, self._size, self._size):
            return found[0]
        file = self._root / example.path
        image = load_image(file, self._size, self._reading)
        if example.sha256 and file_sha256(file) != example.sha256:
            raise FrostlineError(f"{file} has changed since the data set was listed: start anew with what it is now")
        if self._shared:
            self._shared.put(example.sha256, [image])
        return image


def shared_images(folder: Path, size: int, reading: Reading) -> SharedTensors:
    """Decoded images of that size and reading below `folder`."""
    return SharedTensors(folder / hashlib.sha256(decoding(size, reading).encode()).hexdigest()[:16])


def decoding(size: int, reading: Reading) -> str:
    """All that a decoded image hangs on but its file."""
    return f"{VERSION} {torchvision.__version__} {size} {reading}"


def bytes_of(size: int) -> int:
    """Memory that a decoded image takes."""
    return 4 * size * size


def load_image(file: Path, size: int, reading: Reading) -> Tensor:
    """Read an image and resize it to float32 [1, size, size] in 0..1 (bilinear with antialiasing, aspect not kept).

    Raises `FrostlineError` naming the file when it cannot be read.
    """
    return as_tensor(read_again(file, reading), size)


def as_tensor(grey: np.ndarray, size: int) -> Tensor:
    """Grey float32 [H, W] in 0..1 as [1, size, size] (bilinear with antialiasing, aspect not kept)."""
    resized: Tensor = F.resize(torch.from_numpy(grey)[None], [size, size], antialias=True)
    return resized.clamp(0, 1)
