"""What a frozen part makes of images, on disk for all runs: a study trains the same frozen layers many times."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from frostline.data.cache import decoding
from frostline.data.datamodule import Values
from frostline.data.images import Reading
from frostline.files import write_bytes
from frostline.models.classifier import SliceClassifier
from frostline.training.hardware import Hardware

AT_ONCE = 16  # images; always as many, since the last bits of a convolution hang on how many there are


@dataclass(frozen=True)
class SharedValues:
    """Values below `folder`, which stands for all that they hang on but the image: tensors by the image's checksum.

    Any number of processes may use it at a time: a file appears whole, and is the same whoever wrote it. One that is
    damaged, a folder that is deleted or cannot be written to, costs time alone.
    """

    folder: Path

    def find(self, sha256: str) -> Values | None:
        """The values of the image with that checksum, if they have been put here."""
        if not sha256:
            return None
        try:
            named = load(self._file(sha256).read_bytes())
        except (OSError, SafetensorError):
            return None
        return tuple(named[str(i)] for i in range(len(named)))

    def put(self, sha256: str, values: Values) -> None:
        """Keep the values of the image with that checksum."""
        if not sha256:
            return
        try:
            write_bytes(self._file(sha256), save({str(i): value.contiguous() for i, value in enumerate(values)}))
        except OSError:  # a full disk, a folder of somebody else's: they are computed anew next time
            return

    def _file(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / f"{sha256}.safetensors"


def shared_values(
    root: Path, network: SliceClassifier, hardware: Hardware, size: int, reading: Reading, training: bool, change: str
) -> SharedValues:
    """Where the values of images of that size and reading are that were changed by `change` (`transforms.CHANGES`).

    Everything that their last bits may hang on is in the folder's name: the frozen layers and weights, the numbers,
    torch and the processor's instructions.
    """
    machine = f"{torch.__version__} {torch.backends.cpu.get_cpu_capability()} {hardware}"
    what = f"{decoding(size, reading)} {machine} {network.frozen_part(training)} {change}"
    return SharedValues(root / hashlib.sha256(what.encode()).hexdigest()[:16])


def make_room(folder: Path, needed: float, most: float) -> bool:
    """Whether `needed` bytes in `folder`, and its neighbours, fit `most`; what was not used for longest is deleted."""
    if needed > most:
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.touch()
        others = sorted((f for f in folder.parent.iterdir() if f != folder), key=lambda f: -f.stat().st_mtime)
        for other in others:
            needed += sum(file.stat().st_size for file in other.rglob("*.safetensors"))
            if needed > most:
                shutil.rmtree(other)
    except OSError:  # it cannot be written to, or others make room at the same time
        return False
    return True


def stacked(images: list[Tensor]) -> Tensor:
    """As many as `AT_ONCE`, the last ones blank where there are fewer."""
    return torch.stack([*images, *[torch.zeros_like(images[0])] * (AT_ONCE - len(images))])
