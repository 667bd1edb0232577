"""Several networks that answer together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from frostline.errors import FrostlineError
from frostline.inference.network import Network, load_network
from frostline.inference.onnx_network import SUFFIX, load_onnx


def load_ensemble(files: Sequence[Path]) -> list[Network]:
    """Read checkpoints and ONNX files. Raises `FrostlineError` where they tell apart other classes."""
    networks: list[Network] = [load_onnx(file) if file.suffix == SUFFIX else load_network(file) for file in files]
    for other in networks[1:]:
        if other.task != networks[0].task:
            raise FrostlineError(
                f"{other.file} tells apart {', '.join(other.task.classes)}, {networks[0].file} "
                f"{', '.join(networks[0].task.classes)}: an ensemble has one set of classes"
            )
    return networks
