"""The head: fully connected layers on the pooled features of a backbone."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from frostline.errors import ConfigError

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}


def build_head(features: int, classes: int, widths: Sequence[int], dropout: float, activation: str) -> nn.Sequential:
    """Fully connected layers [N, features] -> [N, classes]; each hidden one is followed by activation and dropout."""
    if activation not in ACTIVATIONS:
        raise ConfigError(f"model.activation={activation}: must be one of {', '.join(ACTIVATIONS)}")
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(features, width), ACTIVATIONS[activation](), nn.Dropout(dropout)]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, classes))
