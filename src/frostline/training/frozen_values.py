"""What a frozen part makes of images, on disk for all runs: a study trains the same frozen layers many times."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from frostline.data.cache import decoding
from frostline.data.images import Reading
from frostline.data.shared import SharedTensors
from frostline.models.classifier import SliceClassifier
from frostline.training.hardware import Hardware

AT_ONCE = 16  # images; always as many, since the last bits of a convolution hang on how many there are


def shared_values(
    root: Path, network: SliceClassifier, hardware: Hardware, size: int, reading: Reading, training: bool, change: str
) -> SharedTensors:
    """Where the values of images of that size and reading are that were changed by `change` (`transforms.CHANGES`).

    Everything that their last bits may hang on is in the folder's name: the frozen layers and weights, the numbers,
    torch and the processor's instructions.
    """
    machine = f"{torch.__version__} {torch.backends.cpu.get_cpu_capability()} {hardware}"
    what = f"{decoding(size, reading)} {machine} {network.frozen_part(training)} {change}"
    return SharedTensors(root / hashlib.sha256(what.encode()).hexdigest()[:16])


def stacked(images: list[Tensor]) -> Tensor:
    """As many as `AT_ONCE`, the last ones blank where there are fewer."""
    return torch.stack([*images, *[torch.zeros_like(images[0])] * (AT_ONCE - len(images))])
