"""Heat maps lie where the evidence is, whatever the network; what has no places, or no evidence, is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from frostline.errors import ConfigError
from frostline.inference.heat import Method, cell_size, heat_maps, last_spatial
from frostline.models.classifier import SliceClassifier
from frostline.models.weights import InputSpec


class Bright(nn.Module):
    """Features: how much bright and how much dark there is, by a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.blur = nn.Conv2d(3, 2, 5, padding=2, bias=True)
        with torch.no_grad():
            self.blur.weight[0], self.blur.weight[1] = 1 / 75, -1 / 75
            self.blur.bias.copy_(torch.tensor([-0.5, 0.5]))
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.pool(torch.relu(self.blur(x))).flatten(1)
        return out


def bright() -> SliceClassifier:
    head = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.eye(2) * 20)
    return SliceClassifier(Bright(), head, [], InputSpec((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), False)).eval()


def spot() -> torch.Tensor:
    image = torch.zeros(1, 1, 64, 64)
    image[..., 8:24, 40:56] = 1
    return image


@pytest.mark.parametrize("method", ["occlusion", "gradcam"])
def test_the_map_lies_on_what_speaks_for_the_class(method: Method) -> None:
    heat = heat_maps(bright(), spot(), torch.tensor([0]), method)
    assert heat.shape == (1, 64, 64)
    assert heat.dtype == np.float32
    assert heat.max() == pytest.approx(1)
    assert heat[0, 8:24, 40:56].sum() > 0.6 * heat.sum()
    y, x = np.unravel_index(heat[0].argmax(), (64, 64))
    assert 4 <= y < 28
    assert 36 <= x < 60


@pytest.mark.parametrize("method", ["occlusion", "gradcam"])
def test_where_nothing_speaks_for_the_class_the_map_is_empty(method: Method) -> None:
    assert not heat_maps(bright(), torch.zeros(1, 1, 64, 64), torch.tensor([0]), method).any()


def test_each_image_is_scaled_by_its_own_largest() -> None:
    images = torch.cat([spot(), 0.8 * spot()])
    heat = heat_maps(bright(), images, torch.tensor([0, 0]), "occlusion")
    assert heat.max((1, 2)) == pytest.approx([1, 1])


def test_the_last_part_with_enough_places_is_found_not_one_within_a_block() -> None:
    from frostline.models.backbones import build_backbone

    net, features = build_backbone("resnet18")
    network = SliceClassifier(net, nn.Linear(features, 2), [], InputSpec((0.0,) * 3, (1.0,) * 3, False)).eval()
    for size, part, cell in ((224, "layer4", 32), (64, "layer2", 8), (128, "layer3", 16), (32, "layer1", 4)):
        image = torch.zeros(1, 1, size, size)
        assert last_spatial(network, image) is net.get_submodule(part), size
        assert cell_size(network, image) == cell


def test_a_transformer_is_told_to_take_occlusion() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.norm = nn.Conv2d(3, 8, 8, stride=8), nn.LayerNorm(8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.norm(self.patches(x).flatten(2).transpose(1, 2)).mean(1)
            return out

    network = SliceClassifier(Tokens(), nn.Linear(8, 2), [], InputSpec((0.0,) * 3, (1.0,) * 3, False)).eval()
    with pytest.raises(ConfigError, match="occlusion"):
        last_spatial(network, torch.zeros(1, 1, 64, 64))


def test_a_network_without_places_is_told_to_take_occlusion() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = nn.Conv2d(3, 4, 64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.kernel(x).flatten(1)
            return out

    network = SliceClassifier(Flat(), nn.Linear(4, 2), [], InputSpec((0.0,) * 3, (1.0,) * 3, False)).eval()
    with pytest.raises(ConfigError, match="occlusion"):
        heat_maps(network, spot(), torch.tensor([0]), "gradcam")
    assert heat_maps(network, spot(), torch.tensor([0]), "occlusion").shape == (1, 64, 64)
