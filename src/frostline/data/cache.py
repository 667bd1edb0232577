"""Decoded images: each file is read and resized once, and kept on disk for all runs together."""

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
from frostline.data.shared_images import SharedImages
from frostline.errors import FrostlineError

MOST = 65535  # grey values are kept as whole numbers of 16 bits


class ImageCache:
    """Images of `examples` below `root`, `size` pixels a side.

    They come from `shared`, where that is given, and are put there; those that cannot be are kept in memory until
    `gigabytes` are full, and decoded anew after that.
    """

    def __init__(
        self,
        root: Path,
        examples: Sequence[Example],
        size: int,
        reading: Reading,
        gigabytes: float,
        shared: SharedImages | None = None,
    ) -> None:
        self._root, self._examples, self._size, self._reading, self._shared = root, examples, size, reading, shared
        self._kept: dict[int, np.ndarray] = {}
        self._room = int(gigabytes * 1e9 / bytes_of(size))

    def __len__(self) -> int:
        return len(self._examples)

    def batch(self, indices: Sequence[int]) -> Tensor:
        """These images, float32 [N, 1, size, size] in 0..1. Raises `FrostlineError` for one that is not there."""
        grey = np.empty((len(indices), self._size, self._size), np.uint16)
        for row, index in zip(grey, indices, strict=True):
            self._fill(row, index)
        return as_floats(grey)[:, None]

    def _fill(self, row: np.ndarray, index: int) -> None:
        example = self._examples[index]
        if self._shared and self._shared.find(example.sha256, row):
            return
        if (kept := self._kept.get(index)) is not None:
            row[:] = kept
            return
        file = self._root / example.path
        row[:] = _resized(read_again(file, self._reading), self._size)
        if example.sha256 and file_sha256(file) != example.sha256:
            raise FrostlineError(f"{file} has changed since the data set was listed: start anew with what it is now")
        if not (self._shared and self._shared.put(example.sha256, row)) and len(self._kept) < self._room:
            self._kept[index] = row.copy()


def shared_images(folder: Path, examples: Sequence[Example], size: int, reading: Reading) -> SharedImages:
    """Decoded images of a data set, of that size and reading, below `folder`."""
    listed = sorted({e.sha256 for e in examples if e.sha256})
    name = hashlib.sha256("\n".join([decoding(size, reading), *listed]).encode()).hexdigest()[:16]
    return SharedImages(folder / name, listed)


def decoding(size: int, reading: Reading) -> str:
    """All that a decoded image hangs on but its file."""
    return f"16 bits {VERSION} {torchvision.__version__} {size} {reading}"


def bytes_of(size: int) -> int:
    """Memory that a decoded image takes."""
    return 2 * size * size


def load_image(file: Path, size: int, reading: Reading) -> Tensor:
    """Read an image and resize it to float32 [1, size, size] in 0..1 (bilinear with antialiasing, aspect not kept).

    Raises `FrostlineError` naming the file when it cannot be read.
    """
    return as_tensor(read_again(file, reading), size)


def as_tensor(grey: np.ndarray, size: int) -> Tensor:
    """Grey float32 [H, W] in 0..1 as [1, size, size] in 65535ths (bilinear with antialiasing, aspect not kept)."""
    return as_floats(_resized(grey, size)[None])


def as_floats(grey: np.ndarray) -> Tensor:
    """Grey uint16 as float32 in 0..1."""
    return torch.from_numpy(grey).float().div_(MOST)


def _resized(grey: np.ndarray, size: int) -> np.ndarray:
    """Grey float32 [H, W] in 0..1 as uint16 [size, size]."""
    resized: Tensor = F.resize(torch.from_numpy(grey)[None], [size, size], antialias=True)[0]
    whole: np.ndarray = resized.clamp(0, 1).mul(MOST).round().numpy().astype(np.uint16)
    return whole
