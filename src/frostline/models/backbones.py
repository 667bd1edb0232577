"""Backbones: a network of torchvision or timm without its classifier."""

from __future__ import annotations

from difflib import get_close_matches

import torchvision
from torch import nn

from frostline.errors import ConfigError
from frostline.models.timm_networks import build_timm, classifier_of, is_timm


def build_backbone(name: str) -> tuple[nn.Module, int]:
    """Build torchvision's network `name`, or timm's where it begins with timm/, with random weights and no classifier.

    Returns the network, [N, 3, H, W] -> [N, features] after global average pooling, and the number of features.
    Raises `ConfigError` for a name that is not there, or a network whose classifier is not found.
    """
    if is_timm(name):
        return build_timm(name)
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        near = get_close_matches(name, known, n=3)
        raise ConfigError(
            f"model.name={name}: torchvision has no such network{'; near: ' + ', '.join(near) if near else ''}"
        )
    # Random residual blocks start as the identity (Goyal et al. 2017, arXiv:1706.02677); loaded weights replace this.
    arguments = {"zero_init_residual": True} if name.startswith(("resnet", "resnext", "wide_resnet")) else {}
    net = torchvision.models.get_model(name, weights=None, **arguments)
    features = _drop_classifier(name, net)
    return net, features


def set_bn_momentum(net: nn.Module, momentum: float) -> None:
    """Set the share that a batch has in the running statistics of every BatchNorm layer."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum


def classifier_keys(name: str) -> tuple[str, ...]:
    """Prefixes under which the published weights of `name` keep the classifier that `build_backbone` drops."""
    if is_timm(name):
        return classifier_of(name)
    return tuple(f"{path}." for path, _ in _classifier(name, torchvision.models.get_model(name, weights=None)))


def _classifier(name: str, net: nn.Module) -> list[tuple[str, nn.Module]]:
    """The last fully connected layer of `net` and a dropout right before it, with their paths."""
    for attribute in ("fc", "classifier", "head"):
        top = getattr(net, attribute, None)
        if isinstance(top, nn.Linear):
            return [(attribute, top)]
        if isinstance(top, nn.Sequential) and isinstance(top[-1], nn.Linear):
            classifier: list[tuple[str, nn.Module]] = [(f"{attribute}.{len(top) - 1}", top[-1])]
            if len(top) > 1 and isinstance(top[-2], nn.Dropout):
                classifier.append((f"{attribute}.{len(top) - 2}", top[-2]))
            return classifier
    raise ConfigError(f"model.name={name}: its classifier is no fully connected layer; take for example resnet101")


def _drop_classifier(name: str, net: nn.Module) -> int:
    classifier = _classifier(name, net)
    for path, _ in classifier:
        parent, _, child = path.rpartition(".")
        setattr(net.get_submodule(parent), child, nn.Identity())
    last = classifier[0][1]
    assert isinstance(last, nn.Linear)
    return last.in_features
