"""Backbones that many tests look at; who changes one takes a copy."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import nn

from frostline.models.backbones import build_backbone


@pytest.fixture(scope="session")
def shapes() -> Callable[[str], nn.Module]:
    """Backbones without values, on torch's meta device."""

    @cache
    def build(name: str) -> nn.Module:
        with torch.device("meta"):
            return build_backbone(name)[0].eval()

    return build


@pytest.fixture(scope="session")
def resnet101() -> nn.Module:
    """A ResNet101 with random weights, BatchNorm momentum 0.01."""
    torch.manual_seed(0)
    return build_backbone("resnet101")[0]
