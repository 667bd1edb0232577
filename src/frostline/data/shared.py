"""Tensors on disk for all runs, by the checksum of an image's file: decoded, or what frozen layers make of it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from frostline.files import read_sealed, write_sealed


@dataclass(frozen=True)
class SharedTensors:
    """Tensors below `folder`, which stands for all that they hang on but the image.

    Any number of processes and runs may use it at a time: a file appears whole, and is the same whoever wrote it. One
    that is damaged, a folder that is deleted or cannot be written to, costs time alone.
    """

    folder: Path

    def find(self, sha256: str) -> tuple[Tensor, ...] | None:
        """What has been put here for the image with that checksum."""
        if not sha256:
            return None
        try:
            named = load(read_sealed(self._file(sha256)))
        except (OSError, ValueError, SafetensorError):
            return None
        return tuple(named[str(i)] for i in range(len(named)))

    def put(self, sha256: str, tensors: Sequence[Tensor]) -> None:
        """Keep the tensors of the image with that checksum."""
        if not sha256:
            return
        try:
            write_sealed(self._file(sha256), save({str(i): one.contiguous() for i, one in enumerate(tensors)}))
        except OSError:  # a full disk, a folder of somebody else's: they are made anew next time
            return

    def _file(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / f"{sha256}.safetensors"


def make_room(folder: Path, needed: float, most: float) -> bool:
    """Whether `needed` bytes in `folder`, and its neighbours, fit `most`; what was not used for longest is deleted."""
    if needed > most:
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.touch()
        others = sorted((f for f in folder.parent.iterdir() if f != folder), key=lambda f: -f.stat().st_mtime)
        for other in others:
            needed += sum(file.stat().st_size for file in other.rglob("*") if file.is_file())
            if needed > most:
                shutil.rmtree(other)
    except OSError:  # it cannot be written to, or others make room at the same time
        return False
    return True
