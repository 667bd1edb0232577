"""Decoded images on disk for all runs: one file, a row for each image, and the checksums of the rows beside it."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

CHECK = 8  # bytes


class SharedImages:
    """Grey images uint16 [size, size] in `folder`, which stands for all that they hang on but the image.

    Any number of processes and runs may read and write at a time: the same row is the same whoever writes it, and one
    that is not whole does not fit its checksum. What is damaged, deleted or cannot be written costs time alone. Read
    by position and not mapped into memory, where a file that somebody cuts would end the process.
    """

    def __init__(self, folder: Path, listed: Sequence[str]) -> None:
        self.folder = folder
        self._row = {sha256: row for row, sha256 in enumerate(listed)}
        self._files: tuple[int, int] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": None}  # another process opens its own

    def __del__(self) -> None:
        for file in self._files or ():
            os.close(file)

    def find(self, sha256: str, into: np.ndarray) -> bool:
        """Read the image of the file with that checksum; False where it is not here, or damaged."""
        row = self._row.get(sha256)
        if row is None:
            return False
        try:
            images, checks = self._opened()
            check = os.pread(checks, CHECK, row * CHECK)
            whole = os.preadv(images, [into.data.cast("B")], row * into.nbytes) == into.nbytes
        except OSError:  # a folder of somebody else's
            return False
        return whole and check == _check(into)

    def put(self, sha256: str, grey: np.ndarray) -> bool:
        """Keep the image of the file with that checksum; whether that could be done."""
        row = self._row.get(sha256)
        if row is None:
            return False
        try:
            images, checks = self._opened()
            whole = os.pwrite(images, grey.data.cast("B"), row * grey.nbytes) == grey.nbytes
            return whole and os.pwrite(checks, _check(grey), row * CHECK) == CHECK
        except OSError:  # a full disk
            return False

    def _opened(self) -> tuple[int, int]:
        if self._files is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            images = os.open(self.folder / "images", flags, 0o600)
            try:
                self._files = images, os.open(self.folder / "checksums", flags, 0o600)
            except OSError:
                os.close(images)
                raise
        return self._files


def _check(grey: np.ndarray) -> bytes:
    """Checksum of a row; never that of a row which was not written, and reads as zeros."""
    return zlib.crc32(grey.data.cast("B")).to_bytes(4, "little") + b"row\0"
