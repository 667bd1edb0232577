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
            one, two = (
                f"{', '.join(n.task.classes)} (positive: {n.task.positive or 'none'})" for n in (networks[0], other)
            )
            raise FrostlineError(
                f"{other.file} tells apart {two}, {networks[0].file} {one}: an ensemble has one set of classes, in one "
                "order, and one that is positive"
            )
    return networks
