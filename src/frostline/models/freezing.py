"""Freezing the first N layers: no gradient, no optimiser state, and BatchNorm's statistics stay as they are."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from frostline.config.schema import ConfigError
from frostline.models.backbones import build_backbone
from frostline.models.layer_tables import Layer, layer_table


def freeze_first(net: nn.Module, table: Sequence[Layer], count: int, unit: str = "layer") -> list[nn.Module]:
    """Stop the gradient of the first `count` rows of `table`; returns their modules, which `hold_frozen` keeps in eval.

    Raises `ConfigError` when the table has fewer rows.
    """
    check_count(table, count, unit)
    frozen = [net.get_submodule(name) for layer in table[:count] for name in layer.modules]
    for module in frozen:
        module.requires_grad_(False)
    return frozen


def check_count(table: Sequence[Layer], count: int, unit: str) -> None:
    """Raise `ConfigError` when `table` has fewer rows than `count`."""
    if not 0 <= count <= len(table):
        plural = {"layer": "layers", "weighted": "weighted layers", "stage": "stages"}[unit]
        raise ConfigError(
            f"freeze={count}: this backbone has {len(table)} {plural}, so freeze must be 0 to {len(table)}"
        )


def check_depths(depths: Iterable[tuple[str, int, str]]) -> None:
    """Raise `ConfigError` when a backbone has fewer rows than are to be frozen: (its name, count, unit) each."""
    tables: dict[tuple[str, str], Sequence[Layer]] = {}
    for name, count, unit in depths:
        if (name, unit) not in tables:
            tables[name, unit] = layer_table(name, build_backbone(name)[0], unit)
        check_count(tables[name, unit], count, unit)


def hold_frozen(frozen: Iterable[nn.Module]) -> None:
    """Put the frozen modules in eval mode, as Keras runs a frozen BatchNormalization; to call after every `train()`."""
    for module in frozen:
        module.eval()


def digest(modules: Iterable[nn.Module]) -> str:
    """SHA-256 over the parameters and buffers of `modules`, bit for bit."""
    sha = hashlib.sha256()
    for module in modules:
        for tensor in module.state_dict().values():
            sha.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


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
