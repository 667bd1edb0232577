"""A network that is cut where its frozen part ends says and learns what it does whole."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from frostline.models.backbones import build_backbone
from frostline.models.freezing import freeze_first, hold_frozen
from frostline.models.layer_tables import layer_table
from frostline.models.prefix import cut_at_frozen
from tests.models.built import built


def frozen_net(name: str, freeze: int, training: bool = True) -> nn.Module:
    torch.manual_seed(0)
    net, _ = build_backbone(name)
    frozen = freeze_first(net, layer_table(name, net), freeze)
    net.train(training)
    hold_frozen(frozen)
    return net


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("name", "freeze"),
    [
        ("resnet50", 3),
        ("resnet50", 40),
        ("resnet50", 46),  # inside a block, whose shortcut crosses the cut too
        ("resnet50", 80),
        ("resnet50", 175),
        ("densenet121", 100),
        ("efficientnet_b3", 117),
        ("mobilenet_v3_small", 30),
        ("convnext_tiny", 20),
    ],
)
def test_a_network_in_two_is_the_network(name: str, freeze: int, training: bool) -> None:
    net = frozen_net(name, freeze, training)
    cut = cut_at_frozen(net)
    assert cut is not None
    x = torch.rand(2, 3, 64, 64)
    torch.manual_seed(1)
    whole = net(x)
    torch.manual_seed(1)
    with torch.no_grad():
        values = cut.first(x)
    in_two = cut.then(values)
    torch.testing.assert_close(in_two, whole, rtol=0, atol=0)

    if not any(p.requires_grad for p in net.parameters()):
        return
    gradients = []
    for out in (whole, in_two):
        net.zero_grad()
        out.square().sum().backward()
        gradients.append({n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert gradients[0]
    for n, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][n], value, rtol=1e-4, atol=1e-5)


def test_stages_that_wait_are_as_quiet_on_kept_values_as_on_images() -> None:
    torch.manual_seed(0)
    network = built("efficientnet_b3", 117).train()
    assert network.cut(True)
    assert network.cut(False)
    images = torch.rand(2, 1, 64, 64)
    values = network.frozen_values(images, training=True)
    network.wait(len(network.stages))
    said = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        said += [network(images), network([*values])]
    for other in said[1:]:
        torch.testing.assert_close(other, said[0], rtol=0, atol=0)
    network.wait(0)
    torch.manual_seed(1)
    one = network([*values])
    torch.manual_seed(2)
    assert not torch.equal(network([*values]), one)  # layers are dropped by chance again


@pytest.mark.parametrize(("name", "freeze"), [("alexnet", 16), ("vgg11", 26), ("efficientnet_b3", 117)])
def test_values_for_validation_are_those_of_evaluation(name: str, freeze: int) -> None:
    torch.manual_seed(0)
    network = built(name, freeze).train()
    assert network.cut(True)
    assert network.cut(False)
    images = torch.rand(2, 1, 64, 64)
    values = network.frozen_values(images, training=False)
    assert network.training
    network.eval()
    torch.testing.assert_close(network([*values]), network(images), rtol=0, atol=0)


def test_training_what_follows_trains_the_network() -> None:
    net = frozen_net("resnet50", 80)
    cut = cut_at_frozen(net)
    assert cut is not None
    assert cut.rest is not None
    ours = {id(p) for p in net.parameters()}
    assert {id(p) for p in cut.rest.parameters()} <= ours


def test_nothing_frozen_leaves_nothing_to_keep() -> None:
    assert cut_at_frozen(frozen_net("resnet50", 0)) is None


def test_a_frozen_part_does_not_end_behind_a_dropout_that_is_on() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.Conv2d(4, 4, 3))
    net.requires_grad_(False)
    shapes = []
    for training in (True, False):
        cut = cut_at_frozen(net.train(training))
        assert cut is not None
        shapes.append((cut.first(torch.rand(1, 3, 9, 9))[0].shape[-1], cut.rest is None))
    assert shapes == [(7, False), (5, True)]
