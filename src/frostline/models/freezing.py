"""Freezing the first N layers: no gradient, no optimiser state, and BatchNorm's statistics stay as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from frostline.errors import ConfigError
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
