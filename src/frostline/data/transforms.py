"""Random changes of training images, by name; torchvision.transforms.v2 on grey images [1, H, W] in 0..1."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from frostline.errors import ConfigError


def _shift(degrees: float, by: float, scale: float) -> v2.Transform:
    return v2.RandomAffine(
        degrees, translate=(by, by), scale=(1 - scale, 1 + scale), interpolation=v2.InterpolationMode.BILINEAR
    )


AUGMENTATIONS: dict[str, Callable[[], v2.Transform]] = {
    "none": v2.Identity,
    "flip": lambda: v2.RandomHorizontalFlip(),
    "light": lambda: v2.Compose([v2.RandomHorizontalFlip(), _shift(degrees=5, by=0.03, scale=0.05)]),
    "strong": lambda: v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            _shift(degrees=15, by=0.08, scale=0.15),
            v2.ColorJitter(brightness=0.15, contrast=0.15),
        ]
    ),
}


def _unchanged(images: Tensor) -> Tensor:
    return images


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {"none": _unchanged, "flip": F.horizontal_flip}
VARIANTS = {"none": ("none",), "flip": ("none", "flip")}
"""All that an augmentation can make of an image, by name in `CHANGES`; the others make something new every time."""


def variant_of(transform: v2.Transform, seed: int | None) -> int:
    """Which of its variants an augmentation of `VARIANTS` makes with this seed."""
    marked = torch.tensor([[[0.0, 1.0]]])
    return int(seed is not None and not torch.equal(apply_seeded(transform, marked, seed), marked))


def build_augmentation(name: str) -> v2.Transform:
    """Build the augmentation called `name`. Raises `ConfigError` for an unknown one."""
    if name not in AUGMENTATIONS:
        raise ConfigError(f"data.augment={name}: must be one of {', '.join(AUGMENTATIONS)}")
    return AUGMENTATIONS[name]()


def apply_seeded(transform: v2.Transform, image: Tensor, seed: int) -> Tensor:
    """Apply `transform` with its own seed, so that the result depends on nothing else, worker processes included."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        changed: Tensor = transform(image)
    return changed
