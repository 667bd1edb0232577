"""What the rows of a layer table cost: parameters and multiply-adds."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from frostline.models.layer_tables import Layer


@dataclass(frozen=True)
class Cost:
    """Parameters and multiply-adds (of one picture) that one row of a layer table stands for."""

    parameters: int
    multiply_adds: int


@torch.no_grad()
def layer_costs(net: nn.Module, table: Sequence[Layer], image_size: int) -> list[Cost]:
    """The cost of every row of `table` for a picture of `image_size` pixels a side; computed on torch's meta device."""
    macs: dict[nn.Module, int] = {}

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        kernel = module.weight[0].numel() if isinstance(module, (nn.Conv2d, nn.Linear)) else 0
        macs[module] = macs.get(module, 0) + output.numel() * kernel

    meta = copy.deepcopy(net).to("meta")
    hooks = [m.register_forward_hook(count) for m in meta.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    meta.eval()(torch.empty(1, 3, image_size, image_size, device="meta"))
    for hook in hooks:
        hook.remove()

    def cost(layer: Layer) -> Cost:
        modules = [meta.get_submodule(name) for name in layer.modules]
        inside = [m for module in modules for m in module.modules()]
        return Cost(sum(p.numel() for m in modules for p in m.parameters()), sum(macs.get(m, 0) for m in inside))

    return [cost(layer) for layer in table]


def frozen_share(costs: Sequence[Cost], count: int) -> tuple[float, float]:
    """Share of parameters and of multiply-adds in the first `count` rows, each 0..1."""

    def share(values: Iterator[int]) -> float:
        listed = list(values)
        return sum(listed[:count]) / max(sum(listed), 1)

    return share(c.parameters for c in costs), share(c.multiply_adds for c in costs)
