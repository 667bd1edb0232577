"""The numbered layer tables: what "the first N layers" of a backbone are.

The report counted the entries of Keras' `Model.layers`, the input, paddings, activations and additions included. The
tables here list them in that order with the torchvision module that does the same, so that N means what it meant there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch import nn
from torchvision.models.feature_extraction import get_graph_node_names

from frostline.errors import ConfigError, first_line


@dataclass(frozen=True)
class Layer:
    """One row: its name, the modules of the backbone it stands for (most rows none or one), and its stage."""

    name: str
    modules: tuple[str, ...]
    stage: str


RESNET_BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3), "resnet152": (3, 8, 36, 3)}
EFFICIENTNET_REPEATS = {"efficientnet_b3": (2, 3, 3, 5, 5, 6, 2)}
CONTAINERS = ("features", "blocks", "stages", "layers")  # what hold a network's stages, in torchvision and timm
_STRIDED_STAGES = (2, 3, 4, 6)  # EfficientNet's stages that halve the image; Keras pads them in an entry of its own


def layer_table(name: str, net: nn.Module, unit: str = "layer") -> list[Layer]:
    """The layers of backbone `net`, called `name` in torchvision, counted by `unit`.

    `layer`: Keras' entries for ResNets and EfficientNetB3, else the order of execution. `weighted`: convolutions (and
    fully connected layers), each with its normalisation; a shortcut's convolution goes with its block's last one, as
    in the 101 of ResNet101. `stage`: stages. Every parameter of `net` belongs to exactly one row.
    Raises `ConfigError` for a network with parameters that no module in the order of execution owns.
    """
    if name in RESNET_BLOCKS:
        table = keras_resnet(RESNET_BLOCKS[name])
    elif name in EFFICIENTNET_REPEATS:
        table = keras_efficientnet(EFFICIENTNET_REPEATS[name])
    else:
        table = execution_order(name, net)
    if unit == "weighted":
        return _merge(table, _weighted_rows(table, net))
    if unit == "stage":
        return _merge(table, [layer.stage for layer in table])
    return table


def keras_resnet(blocks: Sequence[int]) -> list[Layer]:
    """Keras `ResNet50/101/152(include_top=False).layers`, `blocks` in each of the four stages (keras 3.15)."""
    rows = [
        Layer("input_layer", (), "stem"),
        Layer("conv1_pad", (), "stem"),
        Layer("conv1_conv", ("conv1",), "stem"),
        Layer("conv1_bn", ("bn1",), "stem"),
        Layer("conv1_relu", ("relu",), "stem"),
        Layer("pool1_pad", (), "stem"),
        Layer("pool1_pool", ("maxpool",), "stem"),
    ]
    inner = [("1_conv", "conv1"), ("1_bn", "bn1"), ("1_relu", ""), ("2_conv", "conv2"), ("2_bn", "bn2"), ("2_relu", "")]
    plain = [("3_conv", "conv3"), ("3_bn", "bn3")]
    shortcut = [("0_conv", "downsample.0"), ("3_conv", "conv3"), ("0_bn", "downsample.1"), ("3_bn", "bn3")]
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            for step, module in [*inner, *(shortcut if block == 0 else plain), ("add", ""), ("out", "relu")]:
                modules = (f"layer{stage}.{block}.{module}",) if module else ()
                rows.append(Layer(f"conv{stage + 1}_block{block + 1}_{step}", modules, f"layer{stage}"))
    return rows


def keras_efficientnet(repeats: Sequence[int]) -> list[Layer]:
    """Keras `EfficientNetB3(include_top=False).layers`, `repeats` blocks in each of the seven stages (keras 3.15).

    As built with `weights=None`: with ImageNet weights Keras adds a second Rescaling, which shifts indices after 2.
    """
    rows = [Layer(name, (), "stem") for name in ("input_layer", "rescaling", "normalization", "stem_conv_pad")]
    rows += _conv_bn("features.0", "stem", "stem_conv", "stem_bn", "stem_activation")
    for stage, count in enumerate(repeats, start=1):
        for block in range(count):
            rows += _efficientnet_block(stage, block)
    return rows + _conv_bn("features.8", "top", "top_conv", "top_bn", "top_activation")


def _conv_bn(module: str, stage: str, *names: str) -> list[Layer]:
    """The rows of a torchvision Conv2dNormActivation: convolution, BatchNorm and, when named, activation."""
    return [Layer(name, (f"{module}.{i}",), stage) for i, name in enumerate(names)]


def _efficientnet_block(stage: int, block: int) -> Iterator[Layer]:
    name, module, group = f"block{stage}{'abcdef'[block]}", f"features.{stage}.{block}", f"block{stage}"
    parts = [f"{module}.block.{i}" for i in range(4)]
    if stage > 1:  # the first stage does not expand
        expand = parts.pop(0)
        yield from _conv_bn(expand, group, f"{name}_expand_conv", f"{name}_expand_bn", f"{name}_expand_activation")
    depthwise, squeeze, project = parts[:3]
    if block == 0 and stage in _STRIDED_STAGES:
        yield Layer(f"{name}_dwconv_pad", (), group)
    yield from _conv_bn(depthwise, group, f"{name}_dwconv", f"{name}_bn", f"{name}_activation")
    yield Layer(f"{name}_se_squeeze", (f"{squeeze}.avgpool",), group)
    yield Layer(f"{name}_se_reshape", (), group)
    yield Layer(f"{name}_se_reduce", (f"{squeeze}.fc1",), group)
    yield Layer(f"{name}_se_expand", (f"{squeeze}.fc2",), group)
    yield Layer(f"{name}_se_excite", (), group)
    yield from _conv_bn(project, group, f"{name}_project_conv", f"{name}_project_bn")
    if block > 0:
        yield Layer(f"{name}_drop", (f"{module}.stochastic_depth",), group)
        yield Layer(f"{name}_add", (), group)


def execution_order(name: str, net: nn.Module) -> list[Layer]:
    """The modules of `net` in the order in which they run (torch.fx, as torchvision's feature extraction traces it).

    A module with parameters of its own, such as a ConvNeXt block with its scale, is one layer with all that is in it.
    Stages are the parts at the top that hold convolutions; what comes between goes with the one before.
    """
    modules = dict(net.named_modules())
    whole = [type(m) for path, m in modules.items() if path and any(True for _ in m.parameters(recurse=False))]
    rows: list[Layer] = []
    seen: set[str] = set()
    stage = ""
    try:
        nodes = get_graph_node_names(net, tracer_kwargs={"leaf_modules": whole}, suppress_diff_warning=True)[1]
    except Exception as error:  # torch.fx raises what the network's own control flow raises
        raise ConfigError(
            f"model.name={name}: its layers cannot be put in order ({first_line(error)[:120]}); take a network made of "
            "convolutions, for example resnet101"
        ) from None
    for node in nodes:
        known = node in modules and node not in seen
        seen.add(node)
        top = ".".join(node.split(".")[: 2 if node.split(".")[0] in CONTAINERS else 1])
        if known and any(True for _ in modules[node].parameters()) and _has_weights(modules[top]):
            stage = top
        rows.append(Layer(node, (node,) if known else (), stage))
    owned = {f"{module}.{p}" for row in rows for module in row.modules for p, _ in modules[module].named_parameters()}
    loose = [p for p, _ in net.named_parameters() if p not in owned]
    if loose:
        raise ConfigError(
            f"model.name={name}: {loose[0]} belongs to no layer in the order of execution, so that layers cannot be "
            "counted; take a network made of convolutions, for example resnet101"
        )
    first = next(row.stage for row in rows if row.stage)  # the input goes with it
    return [replace(row, stage=row.stage or first) for row in rows]


def _has_weights(module: nn.Module) -> bool:
    return any(isinstance(m, (nn.Conv2d, nn.Linear)) for m in module.modules())


def _weighted_rows(table: Sequence[Layer], net: nn.Module) -> list[str]:
    """For every layer of `table` the name of the weighted row that it goes with."""
    row, names = "", []
    for layer in table:
        weighted = any(_has_weights(net.get_submodule(path)) for path in layer.modules)
        if weighted and not any(".downsample." in path for path in layer.modules):
            row = layer.name
        names.append(row)
    first = next(name for name in names if name)  # what comes before the first convolution goes with it
    block = {f"{name.rsplit('_', 2)[0]}_0_conv": name for name in names if name.endswith("_3_conv")}
    return [block.get(layer.name, name) or first for layer, name in zip(table, names, strict=True)]


def _merge(table: Sequence[Layer], rows: Sequence[str]) -> list[Layer]:
    merged: dict[str, tuple[list[str], str]] = {}
    for layer, row in zip(table, rows, strict=True):
        modules, _ = merged.setdefault(row, ([], layer.stage))
        modules += [m for m in layer.modules if m not in modules]
    return [Layer(name, tuple(modules), stage) for name, (modules, stage) in merged.items()]
