"""What the rows of a layer table cost: parameters and multiply-adds."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from frostline.models.layer_tables import Layer


@dataclass(frozen=True)
class Cost:
    """Parameters and multiply-adds (of one image) that one row of a layer table stands for."""

    parameters: int
    multiply_adds: int


@torch.no_grad()
def layer_costs(net: nn.Module, table: Sequence[Layer], image_size: int) -> list[Cost]:
    """The cost of every row of `table` for an image of `image_size` pixels a side; computed on torch's meta device."""
    meta = copy.deepcopy(net).to("meta").eval()
    with FlopCounterMode(display=False) as counter:
        meta(torch.empty(1, 3, image_size, image_size, device="meta"))
    flops = counter.get_flop_counts()  # by module with all that is in it, and kind of operation
    root = type(net).__name__

    def cost(layer: Layer) -> Cost:
        parameters = sum(p.numel() for name in layer.modules for p in meta.get_submodule(name).parameters())
        return Cost(parameters, sum(sum(flops.get(f"{root}.{name}", {}).values()) for name in layer.modules) // 2)

    return [cost(layer) for layer in table]


def frozen_share(costs: Sequence[Cost], count: int) -> tuple[float, float]:
    """Share of parameters and of multiply-adds in the first `count` rows, each 0..1."""

    def share(values: Iterator[int]) -> float:
        listed = list(values)
        return sum(listed[:count]) / max(sum(listed), 1)

    return share(c.parameters for c in costs), share(c.multiply_adds for c in costs)
