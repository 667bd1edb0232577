"""Backbones of timm (Wightman 2019), by the name `timm/NAME`, where it is installed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from torch import Tensor, nn

from frostline.errors import ConfigError, first_line
from frostline.installation import install_command

PREFIX = "timm/"
LITE = "timm/tf_efficientnet_lite2"  # whose ImageNet weights a package carries


def is_timm(name: str) -> bool:
    """Whether a backbone's name is one of timm's."""
    return name.startswith(PREFIX)


def build_timm(name: str) -> tuple[nn.Module, int]:
    """Build timm's network with random weights and no classifier; with its number of features.

    Raises `ConfigError` for a name that timm does not have, or where it is not installed.
    """
    timm, own = _timm(name), name.removeprefix(PREFIX)
    if not timm.is_model(own):
        near = get_close_matches(own, timm.list_models(), n=3)
        raise ConfigError(f"model.name={name}: timm has no such network{'; near: ' + ', '.join(near) if near else ''}")
    try:
        net = timm.create_model(own, pretrained=False, num_classes=0)
    except Exception as error:  # what each of its thousand networks raises
        raise ConfigError(f"model.name={name}: timm does not build it ({first_line(error)[:120]})") from None
    return net, int(getattr(net, "head_hidden_size", None) or net.num_features)


def classifier_of(name: str) -> tuple[str, ...]:
    """Prefixes of the classifier's tensors in timm's own weights."""
    paths = _timm(name).create_model(name.removeprefix(PREFIX), pretrained=False).default_cfg["classifier"]
    return tuple(f"{path}." for path in ((paths,) if isinstance(paths, str) else paths))


def published(name: str) -> tuple[dict[str, Tensor], tuple[float, float, float], tuple[float, float, float], str]:
    """timm's own weights, mean and standard deviation of its input, and what they are; fetched where they are not kept.

    Raises what its hub raises when they are not to be had.
    """
    net = _timm(name).create_model(name.removeprefix(PREFIX), pretrained=True)
    cfg = net.pretrained_cfg
    return (
        net.state_dict(),
        tuple(cfg["mean"]),
        tuple(cfg["std"]),
        f"imagenet (timm {cfg['architecture']}.{cfg['tag']})",
    )


def rename_lite(state: Mapping[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """The tensors of a network of EfficientNet-PyTorch under the names that they have in timm's `net`."""
    blocks = [f"{i}.{k}" for i, stage in enumerate(net.blocks) for k in range(len(stage))]  # type: ignore[arg-type]  # nested Sequentials
    expanding = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
    expanding |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
    plain = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    top = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    renamed = {}
    for key, value in state.items():
        inner = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
        if inner:
            number, part, tensor = inner.groups()
            names = expanding if f"_blocks.{number}._expand_conv.weight" in state else plain
            renamed[f"blocks.{blocks[int(number)]}.{names[part]}.{tensor}"] = value
        else:
            part, _, tensor = key.partition(".")
            renamed[f"{top[part]}.{tensor}"] = value
    return renamed


def _timm(name: str) -> Any:
    try:
        import timm
    except ImportError:
        raise ConfigError(f"model.name={name}: timm is not installed; {install_command('timm')}") from None
    return timm
