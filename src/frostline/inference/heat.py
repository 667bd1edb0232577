"""Where in an image a network looks for a class: Grad-CAM and occlusion, by Captum."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from frostline.errors import ConfigError, FrostlineError
from frostline.models.classifier import SliceClassifier

Method = Literal["gradcam", "occlusion"]
WINDOW, STRIDE = 8, 12  # occlusion: the side of what is covered is 1 / WINDOW of the image's, its step 1 / STRIDE
PASSES = STRIDE**2  # of occlusion, about
PLACES = 7  # a side, that Grad-CAM needs to say anything of a lesion


def heat_maps(network: SliceClassifier, images: Tensor, targets: Tensor, method: Method = "occlusion") -> np.ndarray:
    """What speaks for the class `targets` [N] in images [N, 1, H, W], float32 [N, H, W] in 0..1, each by its largest.

    `occlusion` (Zeiler and Fergus 2014) covers parts with the image's mean, and takes how much probability that costs:
    144 passes. `gradcam` (Selvaraju et al. 2017) weighs the channels of the last layer that has places: two passes,
    and on phantoms rarely on the lesion (docs/explaining.md). All zero where nothing speaks for the class.

    Raises `FrostlineError` without Captum, `ConfigError` for a network without such a layer (a transformer).
    """
    try:
        from captum.attr import (  # type: ignore[import-untyped]  # it ships no types
            LayerAttribution,
            LayerGradCam,
            Occlusion,
        )
    except ImportError:
        raise FrostlineError("heat maps are made by captum: pip install 'frostline[explain]'") from None
    device = next(network.parameters()).device
    images, targets = images.to(device), targets.to(device)
    if method == "gradcam":
        layer = last_spatial(network, images[:1])
        with torch.enable_grad():
            coarse = LayerGradCam(network, layer).attribute(
                images.clone().requires_grad_(), target=targets, relu_attributions=True
            )
        heat = LayerAttribution.interpolate(coarse.detach(), images.shape[-2:], interpolate_mode="bilinear")
    else:
        side, step = max(1, images.shape[-1] // WINDOW), max(1, images.shape[-1] // STRIDE)
        with torch.no_grad():
            heat = Occlusion(lambda x: network(x).softmax(-1)).attribute(
                images,
                sliding_window_shapes=(1, side, side),
                strides=(1, step, step),
                baselines=images.mean((1, 2, 3), keepdim=True).expand_as(images),
                target=targets,
                perturbations_per_eval=4,
            )
    positive = heat.sum(1).clamp(min=0).float().cpu()
    highest = positive.amax((1, 2), keepdim=True)
    scaled: np.ndarray = torch.where(highest > 0, positive / highest.clamp(min=1e-30), positive).numpy()
    return scaled


def last_spatial(network: SliceClassifier, image: Tensor) -> nn.Module:
    """The last part of the backbone with at least `PLACES` places a side, or with the most that there are.

    What lies within a block is passed by, and no part. Raises `ConfigError` where values have no places, as a
    transformer's tokens.
    """
    return _last_spatial(network, image)[0]


def cell_size(network: SliceClassifier, image: Tensor) -> int:
    """Pixels a side of what one value of Grad-CAM stands for."""
    return round(image.shape[-1] / _last_spatial(network, image)[1])


def _last_spatial(network: SliceClassifier, image: Tensor) -> tuple[nn.Module, int]:
    places: dict[str, int] = {}

    def look(name: str) -> Callable[[nn.Module, object, object], None]:
        def note(_: nn.Module, __: object, values: object) -> None:
            if not isinstance(values, Tensor):
                return
            if values.ndim == 4 and values.shape[-1] == values.shape[-2] > 1:  # channels first, of square images
                places.pop(name, None)  # in the order of their ends
                places[name] = values.shape[-1]
            elif values.ndim == 3 or (values.ndim == 4 and values.shape[1] == values.shape[2] > 1):
                places.clear()  # tokens of a transformer: what was before them is an embedding

        return note

    parts = {name: module for name, module in network.net.named_modules() if name}
    hooks = [module.register_forward_hook(look(name)) for name, module in parts.items()]
    try:
        with torch.no_grad():
            network.features(image.to(next(network.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
    whole = {
        name: count
        for name, count in places.items()
        if all(places.get(outer) == count for outer in itertools.accumulate(name.split(".")[:-1], "{}.{}".format))
    }
    if not whole:
        raise ConfigError("this network has no layer with places for Grad-CAM: take --method occlusion")
    enough = [name for name, count in whole.items() if count >= min(PLACES, max(whole.values()))]
    return parts[enough[-1]], whole[enough[-1]]
