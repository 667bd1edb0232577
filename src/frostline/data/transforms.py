"""Random changes of training images, by name, of a whole batch at once where it lies: on the GPU, if there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as nn_functional

from frostline.errors import ConfigError


@dataclass(frozen=True)
class Augmentation:
    """How far an image may be changed: mirrored or not, and each of the others evenly up to its limit, both ways."""

    flip: bool = False
    degrees: float = 0.0
    shift: float = 0.0
    """Share of the side, in each direction."""
    scale: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0


AUGMENTATIONS = {
    "none": Augmentation(),
    "flip": Augmentation(flip=True),
    "light": Augmentation(flip=True, degrees=5, shift=0.03, scale=0.05),
    "strong": Augmentation(flip=True, degrees=15, shift=0.08, scale=0.15, brightness=0.15, contrast=0.15),
}
DRAWN = 7  # numbers that an image is changed by: mirrored, turned, moved across and down, scaled, brightness, contrast


def _unchanged(images: Tensor) -> Tensor:
    return images


def mirror(images: Tensor) -> Tensor:
    """Images [..., W], left and right exchanged."""
    return images.flip(-1)


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {"none": _unchanged, "flip": mirror}
VARIANTS = {"none": ("none",), "flip": ("none", "flip")}
"""All that an augmentation can make of an image, by name in `CHANGES`; the others make something new every time."""


def find_augmentation(name: str) -> Augmentation:
    """The augmentation called `name`. Raises `ConfigError` for an unknown one."""
    if name not in AUGMENTATIONS:
        raise ConfigError(f"data.augment={name}: must be one of {', '.join(AUGMENTATIONS)}")
    return AUGMENTATIONS[name]


def draw_changes(seeds: Sequence[int]) -> Tensor:
    """What each seed makes of its image, float32 [N, 7] in 0..1: the same in any batch, process and on any device."""
    generator = torch.Generator()
    return torch.stack([torch.rand(DRAWN, generator=generator.manual_seed(seed)) for seed in seeds])


def mirrored(how: Augmentation, drawn: Tensor) -> Tensor:
    """Which images are mirrored, bool [N]."""
    return (drawn[:, 0] < 0.5) & how.flip


def augment(images: Tensor, drawn: Tensor, how: Augmentation) -> Tensor:
    """Change square images [N, 1, S, S] in 0..1, each by its row of `draw_changes`; what comes in is black.

    Bilinear where an image is turned, moved or scaled; else every value is one of the image.
    """
    flips = mirrored(how, drawn)
    if how.degrees or how.shift or how.scale:
        grid = nn_functional.affine_grid(_inverse(how, drawn, flips), list(images.shape), align_corners=False)
        images = nn_functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    elif how.flip:
        images = torch.where(flips.view(-1, 1, 1, 1), mirror(images), images)
    if how.brightness:
        images = (images * _within(drawn[:, 5], how.brightness).add(1).view(-1, 1, 1, 1)).clamp(0, 1)
    if how.contrast:
        mean = images.mean((1, 2, 3), keepdim=True)
        images = ((images - mean) * _within(drawn[:, 6], how.contrast).add(1).view(-1, 1, 1, 1) + mean).clamp(0, 1)
    return images


def _within(drawn: Tensor, limit: float) -> Tensor:
    return (2 * drawn - 1) * limit


def _inverse(how: Augmentation, drawn: Tensor, flips: Tensor) -> Tensor:
    """Where each point of the changed image comes from, [N, 2, 3] in coordinates of -1..1."""
    angle = torch.deg2rad(_within(drawn[:, 1], how.degrees))
    cos, sin = angle.cos() / (scale := 1 + _within(drawn[:, 4], how.scale)), angle.sin() / scale
    across, down = (2 * _within(drawn[:, i], how.shift) for i in (2, 3))
    first = torch.stack([cos, sin, -cos * across - sin * down], 1)
    second = torch.stack([-sin, cos, sin * across - cos * down], 1)
    return torch.stack([torch.where(flips[:, None], -first, first), second], 1)
