"""What the rows of a layer table cost."""

from __future__ import annotations

import pytest

from frostline.models.backbones import build_backbone
from frostline.models.costs import frozen_share, layer_costs
from frostline.models.layer_tables import layer_table


@pytest.mark.parametrize(
    ("name", "giga"),
    [("resnet101", 7.80), ("resnet18", 1.81), ("efficientnet_b3", 0.96), ("densenet121", 2.83), ("swin_t", 4.49)],
)
def test_multiply_adds_are_those_that_torchvision_publishes(name: str, giga: float) -> None:
    # Of the whole network with its classifier: 7.80, 1.81, 1.83 at 300 px, 2.83, 4.49.
    net, _ = build_backbone(name)
    costs = layer_costs(net, layer_table(name, net), 224)
    assert sum(c.multiply_adds for c in costs) / 1e9 == pytest.approx(giga, abs=0.006)
    assert sum(c.parameters for c in costs) == sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("unit", ["weighted", "stage"])
def test_other_units_hold_the_same_costs(unit: str) -> None:
    net, _ = build_backbone("resnet18")
    by_layer = layer_costs(net, layer_table("resnet18", net), 64)
    by_unit = layer_costs(net, layer_table("resnet18", net, unit), 64)
    assert sum(c.multiply_adds for c in by_layer) == sum(c.multiply_adds for c in by_unit)
    assert frozen_share(by_unit, len(by_unit)) == (1, 1)
    assert frozen_share(by_unit, 0) == (0, 0)
