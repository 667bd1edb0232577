"""The head has the widths, activation and dropout that the options say."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest
import torch
from torch import nn

from frostline.config.schema import ModelConfig
from frostline.errors import ConfigError
from frostline.models.head import ACTIVATIONS, build_head


@pytest.mark.parametrize(
    ("widths", "kinds"),
    [
        ([], ["Linear"]),
        ([8], ["Linear", "GELU", "Dropout", "Linear"]),
        ([8, 4], ["Linear", "GELU", "Dropout", "Linear", "GELU", "Dropout", "Linear"]),
    ],
)
def test_hidden_layers_are_followed_by_activation_and_dropout(widths: list[int], kinds: list[str]) -> None:
    head = build_head(16, 3, widths, 0.25, "gelu")
    assert [type(m).__name__ for m in head] == kinds
    linear = [m for m in head if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == list(zip([16, *widths], [*widths, 3], strict=True))
    assert {m.p for m in head if isinstance(m, nn.Dropout)} <= {0.25}
    assert head(torch.rand(2, 16)).shape == (2, 3)


def test_activations_are_the_ones_that_the_config_allows() -> None:
    assert set(ACTIVATIONS) == set(get_args(get_type_hints(ModelConfig)["activation"]))
    for name, kind in ACTIVATIONS.items():
        assert type(build_head(4, 3, [4], 0.0, name)[1]) is kind
    with pytest.raises(ConfigError, match=r"model.activation=mish: must be one of relu, gelu, silu, tanh"):
        build_head(4, 3, [4], 0.0, "mish")
