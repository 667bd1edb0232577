"""Frozen means frozen: bits, statistics, gradients, optimiser."""

from __future__ import annotations

import copy
import csv
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from frostline.errors import ConfigError
from frostline.models.classifier import SliceClassifier
from frostline.models.costs import frozen_share, layer_costs
from frostline.models.freezing import freeze_first
from frostline.models.head import build_head
from frostline.models.layer_tables import layer_table
from frostline.models.weights import InputSpec
from frostline.training.optimizers import build_optimizer

CUTS = (0, 10, 20, 80, 81, 140, 345)


def keras_prefix(count: int) -> set[str]:
    """torchvision's modules with weights among Keras' first `count` layers, read from Keras' own list."""
    with (Path(__file__).parent / "reference" / "keras_resnet101_layers.csv").open() as file:
        names = [row["name"] for row in csv.DictReader(file)][:count]
    paths = {"conv1_conv": "conv1", "conv1_bn": "bn1"}
    for name in names:
        if found := re.fullmatch(r"conv(\d)_block(\d+)_(\d)_(conv|bn)", name):
            stage, block, number, kind = found.groups()
            part = f"downsample.{int(kind == 'bn')}" if number == "0" else f"{kind}{number}"
            paths[name] = f"layer{int(stage) - 1}.{int(block) - 1}.{part}"
    return {paths[name] for name in names if name in paths}


def classifier(net: nn.Module, freeze: int) -> SliceClassifier:
    """A copy of `net` with its first layers frozen, and a head."""
    net = copy.deepcopy(net)
    frozen = freeze_first(net, layer_table("resnet101", net), freeze)
    return SliceClassifier(net, build_head(2048, 3, [8], 0.0, "relu"), frozen, InputSpec(), [[net]])


def bits(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.fixture(scope="module", params=CUTS)
def trained(request: pytest.FixtureRequest, resnet101: nn.Module) -> tuple[int, SliceClassifier, dict[str, Tensor]]:
    """The cut, the network after two steps with weight decay and momentum, and what it was before."""
    torch.manual_seed(1)
    network = classifier(resnet101, request.param)
    before = bits(network)
    optimizer = build_optimizer(network.learning_rate_groups(1, 1), "sgd", 0.05, 0.1, {"momentum": 0.9})
    network.train()
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(torch.rand(4, 1, 32, 32)), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()
    return request.param, network, before


def test_frozen_bits_stay_and_all_others_move(trained: tuple[int, SliceClassifier, dict[str, Tensor]]) -> None:
    freeze, network, before = trained
    prefixes = tuple(f"net.{path}." for path in keras_prefix(freeze))
    after = bits(network)
    stayed = {name for name in before if torch.equal(before[name], after[name])}
    assert stayed == {name for name in before if name.startswith(prefixes)}


def test_no_gradient_is_computed_for_frozen_parameters(
    trained: tuple[int, SliceClassifier, dict[str, Tensor]],
) -> None:
    freeze, network, _ = trained
    prefixes = tuple(f"net.{path}." for path in keras_prefix(freeze))
    without = {name for name, p in network.named_parameters() if p.grad is None}
    assert without == {name for name, _ in network.named_parameters() if name.startswith(prefixes)}


def test_no_graph_is_kept_below_the_cut(resnet101: nn.Module) -> None:
    network = classifier(resnet101, 80).train()
    needs: dict[str, bool] = {}
    for stage in ("layer2", "layer3"):
        network.net.get_submodule(stage).register_forward_hook(
            lambda module, inputs, output, stage=stage: needs.update({stage: output.requires_grad})
        )
    network(torch.rand(2, 1, 32, 32))
    assert needs == {"layer2": False, "layer3": True}


@pytest.mark.parametrize("freeze", CUTS)
def test_frozen_normalisation_is_in_eval_as_built_and_after_every_call_of_train(
    freeze: int, resnet101: nn.Module
) -> None:
    network = classifier(resnet101, freeze)
    frozen = keras_prefix(freeze)
    for again in range(3):  # first as it was built, for Lightning leaves modules in the mode they are in
        if again:
            network.eval()
            network.train()
        training = {path: m.training for path, m in network.net.named_modules() if isinstance(m, nn.BatchNorm2d)}
        assert training == {path: path not in frozen for path in training}
    assert network.head.training


def test_a_frozen_backbone_gives_the_same_features_in_training_and_in_evaluation(resnet101: nn.Module) -> None:
    network = classifier(resnet101, 345)
    images = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(network.train()(images), network.eval()(images))


@pytest.mark.parametrize("freeze", [0, 80, 345])
def test_the_optimiser_holds_what_is_trained_and_nothing_else(freeze: int, resnet101: nn.Module) -> None:
    network = classifier(resnet101, freeze)
    optimizer = build_optimizer(network.learning_rate_groups(1, 1), "adamax", 1e-3)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    prefixes = tuple(f"net.{path}." for path in keras_prefix(freeze))
    assert held == {id(p) for name, p in network.named_parameters() if not name.startswith(prefixes)}


@pytest.mark.parametrize("count", [-1, 346])
def test_a_count_out_of_range_names_the_range(count: int, resnet101: nn.Module) -> None:
    table = layer_table("resnet101", resnet101)
    with pytest.raises(ConfigError, match=f"^freeze={count}: this backbone has 345 layers, so freeze must be 0 to 345"):
        freeze_first(resnet101, table, count)


def test_a_count_of_stages_out_of_range_names_stages(resnet101: nn.Module) -> None:
    table = layer_table("resnet101", resnet101, "stage")
    with pytest.raises(ConfigError, match="freeze=6: this backbone has 5 stages, so freeze must be 0 to 5"):
        freeze_first(resnet101, table, 6, "stage")


@settings(deadline=None, max_examples=25)
@given(count=st.integers(0, 345))
def test_what_is_frozen_is_what_the_first_rows_of_the_table_count(resnet101: nn.Module, count: int) -> None:
    resnet101.requires_grad_(True)
    table = layer_table("resnet101", resnet101)
    try:
        frozen = freeze_first(resnet101, table, count)
        stopped = sum(p.numel() for p in resnet101.parameters() if not p.requires_grad)
    finally:
        resnet101.requires_grad_(True)
    assert len(frozen) == sum(len(layer.modules) for layer in table[:count])
    owned = [p for layer in table[:count] for m in layer.modules for p in resnet101.get_submodule(m).parameters()]
    assert stopped == sum(p.numel() for p in owned)
    assert stopped == sum(resnet101.get_submodule(m).weight.numel() for m in keras_prefix(count)) + sum(
        resnet101.get_submodule(m).bias.numel() for m in keras_prefix(count) if "bn" in m or m.endswith("downsample.1")
    )


@pytest.mark.parametrize(("freeze", "parameters"), [(10, "0.03%"), (80, "3.4%"), (140, "20%"), (345, "100%")])
def test_share_of_the_parameters(freeze: int, parameters: str, resnet101: nn.Module) -> None:
    digits = len(parameters.partition(".")[2].rstrip("%"))
    share, _ = frozen_share(layer_costs(resnet101, layer_table("resnet101", resnet101), 64), freeze)
    assert f"{share:.{digits}%}" == parameters


def test_costs_are_those_of_the_papers_network(resnet101: nn.Module) -> None:
    costs = layer_costs(resnet101, layer_table("resnet101", resnet101), 224)
    assert sum(c.parameters for c in costs) == 44_549_160 - (2048 * 1000 + 1000)  # torchvision's less its classifier
    assert sum(c.multiply_adds for c in costs) / 1e9 == pytest.approx(7.80, abs=0.01)  # torchvision's table
    assert costs[2].multiply_adds == 112 * 112 * 64 * 3 * 7 * 7
    assert frozen_share(costs, 80)[1] == pytest.approx(0.25, abs=0.03)
    assert frozen_share(costs, 0) == (0, 0)


def test_counting_costs_leaves_the_network_as_it_was(resnet101: nn.Module) -> None:
    before = (next(resnet101.parameters()).device, resnet101.training)
    layer_costs(resnet101, layer_table("resnet101", resnet101), 64)
    assert (next(resnet101.parameters()).device, resnet101.training) == before
    assert not any(m._forward_hooks for m in resnet101.modules())
