"""What "the first N layers" are: Keras' own lists, facts of the architectures, and the order in which networks run."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from frostline.errors import ConfigError
from frostline.models.layer_tables import Layer, layer_table

Shapes = Callable[[str], nn.Module]
KERAS = {"resnet101": "keras_resnet101_layers.csv", "efficientnet_b3": "keras_efficientnetb3_layers.csv"}
TORCH_CLASS = {
    "Conv2D": nn.Conv2d,
    "DepthwiseConv2D": nn.Conv2d,
    "BatchNormalization": nn.BatchNorm2d,
    "MaxPooling2D": nn.MaxPool2d,
}
NETWORKS = (
    "resnet18",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "efficientnet_b0",
    "efficientnet_b3",
    "densenet121",
    "mobilenet_v3_small",
    "convnext_tiny",
)


def keras_rows(name: str) -> list[tuple[str, str]]:
    with (Path(__file__).parent / "reference" / KERAS[name]).open() as file:
        return [(row["name"], row["class"]) for row in csv.DictReader(file)]


def with_parameters(table: list[Layer], net: nn.Module) -> list[str]:
    """Paths of the modules of `table` that have parameters, in its order."""
    return [m for layer in table for m in layer.modules if any(True for _ in net.get_submodule(m).parameters())]


@pytest.mark.parametrize("name", KERAS)
def test_table_is_keras_own_list_of_layers(name: str, shapes: Shapes) -> None:
    ours = [layer.name for layer in layer_table(name, shapes(name))]
    theirs = [row for row, _ in keras_rows(name)]
    theirs[0] = re.sub(r"_\d+$", "", theirs[0])  # Keras numbers the inputs of a session
    assert ours == theirs


@pytest.mark.parametrize("name", KERAS)
def test_rows_stand_for_modules_of_the_kind_that_keras_names(name: str, shapes: Shapes) -> None:
    net = shapes(name)
    for layer, (_, kind) in zip(layer_table(name, net), keras_rows(name), strict=True):
        if kind not in TORCH_CLASS:
            assert with_parameters([layer], net) == []
            continue
        (path,) = layer.modules
        module = net.get_submodule(path)
        assert isinstance(module, TORCH_CLASS[kind]), layer
        if kind == "DepthwiseConv2D":
            assert module.groups == module.in_channels > 1, layer  # type: ignore[attr-defined]


def test_stages_of_resnet101_end_where_the_report_counted_them(shapes: Shapes) -> None:
    table = layer_table("resnet101", shapes("resnet101"))
    assert len(table) == 345
    ends = {stage: [i for i, layer in enumerate(table) if layer.stage == stage] for stage in {r.stage for r in table}}
    assert {stage: (rows[0], rows[-1]) for stage, rows in ends.items()} == {
        "stem": (0, 6),
        "layer1": (7, 38),
        "layer2": (39, 80),
        "layer3": (81, 312),
        "layer4": (313, 344),
    }
    assert table[79].name == "conv3_block4_add"
    assert table[80].name == "conv3_block4_out"


def test_rows_of_resnet101_stand_for_the_torchvision_blocks_of_their_name(shapes: Shapes) -> None:
    net = shapes("resnet101")
    branch = {"0": "downsample"}
    for layer in layer_table("resnet101", net):
        found = re.fullmatch(r"conv(\d)_block(\d+)_(\d)_(conv|bn)", layer.name)
        if found:
            stage, block, number, kind = found.groups()
            part = branch.get(number, f"{'conv' if kind == 'conv' else 'bn'}{number}")
            part += f".{('conv', 'bn').index(kind)}" if number == "0" else ""
            assert layer.modules == (f"layer{int(stage) - 1}.{int(block) - 1}.{part}",)


@pytest.mark.parametrize("unit", ["layer", "weighted", "stage"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_and_module_is_in_one_row(name: str, unit: str, shapes: Shapes) -> None:
    net = shapes(name)
    modules = [m for layer in layer_table(name, net, unit) for m in layer.modules]
    assert len(modules) == len(set(modules))
    parameters = [id(p) for m in modules for p in net.get_submodule(m).parameters()]
    assert sorted(parameters) == sorted(id(p) for p in net.parameters())
    buffers = [id(b) for m in modules for b in net.get_submodule(m).buffers()]
    assert sorted(buffers) == sorted(id(b) for b in net.buffers())


def order_of_execution(name: str, net: nn.Module) -> tuple[list[str], list[str]]:
    """The modules with parameters as the table has them, and as the network runs them."""
    listed = with_parameters(layer_table(name, net), net)
    ran: list[str] = []

    def record(path: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda module, inputs: ran.append(path)

    hooks = [net.get_submodule(path).register_forward_pre_hook(record(path)) for path in listed]
    net(torch.empty(1, 3, 64, 64, device="meta"))
    for hook in hooks:
        hook.remove()
    return listed, ran


@pytest.mark.parametrize("name", [n for n in NETWORKS if n not in ("resnet50", "resnet101", "resnet152")])
def test_rows_come_in_the_order_in_which_the_network_runs_them(name: str, shapes: Shapes) -> None:
    listed, ran = order_of_execution(name, shapes(name))
    assert listed == ran


@pytest.mark.parametrize("name", ["resnet50", "resnet101", "resnet152"])
def test_resnet_rows_come_in_running_order_but_for_the_shortcut(name: str, shapes: Shapes) -> None:
    """torchvision runs conv3 bn3 downsample.0 downsample.1; Keras lists downsample.0 conv3 downsample.1 bn3."""
    listed, ran = order_of_execution(name, shapes(name))
    expected = []
    for path in ran:
        expected.append(path)
        if path.endswith("downsample.1"):
            conv3, bn3, shortcut, shortcut_bn = expected[-4:]
            assert conv3.endswith(".0.conv3")
            expected[-4:] = [shortcut, conv3, shortcut_bn, bn3]
    assert listed == expected
    assert sum(a != b for a, b in zip(listed, ran, strict=True)) == 4 * 4  # of four rows in each of four stages
    assert set(listed) == set(ran)


@pytest.mark.parametrize(
    ("name", "depth"), [("resnet18", 18), ("resnet50", 50), ("resnet101", 101), ("resnet152", 152)]
)
def test_weighted_layers_and_the_classifier_are_the_number_in_the_name(name: str, depth: int, shapes: Shapes) -> None:
    assert len(layer_table(name, shapes(name), "weighted")) == depth - 1


def test_a_weighted_layer_takes_its_normalisation_and_a_blocks_last_one_the_shortcut(shapes: Shapes) -> None:
    table = layer_table("resnet101", shapes("resnet101"), "weighted")
    assert table[0].modules == ("conv1", "bn1", "relu", "maxpool")
    assert [layer.name for layer in table[1:4]] == [f"conv2_block1_{i}_conv" for i in (1, 2, 3)]
    shortcut = {"layer1.0.downsample.0", "layer1.0.downsample.1"}
    assert set(table[3].modules) == {"layer1.0.conv3", "layer1.0.bn3", "layer1.0.relu", *shortcut}
    assert "layer1.0.bn2" in table[2].modules


def test_stages_are_the_stem_and_the_groups_of_blocks(shapes: Shapes) -> None:
    def stages(name: str) -> list[str]:
        return [layer.name for layer in layer_table(name, shapes(name), "stage")]

    assert stages("resnet101") == ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert stages("efficientnet_b3") == ["stem", *(f"block{i}" for i in range(1, 8)), "top"]
    assert stages("resnet18") == ["conv1", "layer1", "layer2", "layer3", "layer4"]
    dense = ("conv0", "denseblock1", "transition1", "denseblock2", "transition2", "denseblock3", "transition3")
    assert stages("densenet121") == [f"features.{part}" for part in (*dense, "denseblock4")]


def test_a_convnext_block_is_one_layer_for_its_scale_belongs_to_no_layer_inside(shapes: Shapes) -> None:
    net = shapes("convnext_tiny")
    row = next(layer for layer in layer_table("convnext_tiny", net) if layer.name == "features.1.0")
    owned = {name for name, _ in net.get_submodule(row.modules[0]).named_parameters()}
    assert {"layer_scale", "block.0.weight"} <= owned


@pytest.mark.filterwarnings("ignore:The default weight initialization of GoogleNet:FutureWarning")
def test_a_network_with_parameters_that_do_not_run_is_refused_by_name(shapes: Shapes) -> None:
    with pytest.raises(ConfigError, match=r"model.name=googlenet: aux1\.conv.* belongs to no layer"):
        layer_table("googlenet", shapes("googlenet"))
