"""Augmentations: light, repeatable, told when misspelt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from frostline.data.cache import load_image
from frostline.data.images import Reading
from frostline.data.transforms import AUGMENTATIONS, Augmentation, augment, draw_changes, find_augmentation
from frostline.errors import ConfigError

READING = Reading()
SEEDS = range(8)
NOTHING = torch.full((1, 7), 0.5)  # the middle of every limit, and not mirrored
MIRRORED, TURNED, ACROSS, DOWN, SCALED, BRIGHTNESS, CONTRAST = range(7)


@pytest.fixture(scope="module")
def image(phantoms: Path) -> Tensor:
    return load_image(next(phantoms.rglob("*.png")), 64, READING)


def changed(image: Tensor, how: Augmentation, **drawn: float) -> Tensor:
    numbers = NOTHING.clone()
    for name, value in drawn.items():
        numbers[0, globals()[name.upper()]] = value
    return augment(image[None], numbers, how)[0]


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmentation_is_repeatable_light_and_stays_an_image(image: Tensor, name: str) -> None:
    how, images = find_augmentation(name), image[None].repeat(8, 1, 1, 1)
    several = augment(images, draw_changes(SEEDS), how)
    assert torch.equal(images[0], image)
    assert several.shape == images.shape
    assert several.min() >= 0
    assert several.max() <= 1
    assert len({c.numpy().tobytes() for c in several}) == {"none": 1, "flip": 2}.get(name, 8)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_seed_makes_the_same_of_its_image_in_any_batch(image: Tensor, name: str) -> None:
    how, images = find_augmentation(name), torch.stack([image * (i + 1) / 8 for i in range(8)])
    together = augment(images, draw_changes(SEEDS), how)
    for order in ([3], [7, 0, 3], [5, 3, 1, 2]):
        assert torch.equal(augment(images[order], draw_changes(order), how), together[order])


@pytest.mark.parametrize(
    ("how", "drawn", "same"),
    [
        (Augmentation(degrees=90), {"turned": 1.0}, lambda image: image.rot90(-1, (1, 2))),
        (Augmentation(shift=0.25), {"across": 1.0}, lambda image: F.affine(image, 0, [16, 0], 1, [0, 0])),
        (Augmentation(shift=0.25), {"down": 0.0}, lambda image: F.affine(image, 0, [0, -16], 1, [0, 0])),
        (Augmentation(scale=0.5), {"scaled": 1.0}, lambda image: F.affine(image, 0, [0, 0], 1.5, [0, 0], 2)),
        (Augmentation(flip=True, shift=0.25), {"mirrored": 0.0}, lambda image: image.flip(-1)),
        (
            Augmentation(flip=True, degrees=30, shift=0.1, scale=0.2),
            {"mirrored": 0.0, "turned": 0.9, "across": 0.2, "down": 0.7, "scaled": 0.1},
            lambda image: F.affine(image.flip(-1), 24, [-0.06 * 64, 0.04 * 64], 0.84, [0, 0], 2),
        ),
        (Augmentation(brightness=0.5), {"brightness": 0.0}, lambda image: image * 0.5),
        (Augmentation(contrast=0.5), {"contrast": 0.0}, lambda image: F.adjust_contrast(image, 0.5)),
    ],
)
def test_each_change_is_what_torchvision_makes_of_it(
    image: Tensor, how: Augmentation, drawn: dict[str, float], same: Callable[[Tensor], Tensor]
) -> None:
    smooth = F.gaussian_blur(image, [9, 9])  # edges of phantoms are sharper than any slice
    difference = (changed(smooth, how, **drawn) - same(smooth)).abs()
    assert float(difference[:, 4:-4, 4:-4].max()) < 0.02


def test_changes_reach_their_limits_and_no_further() -> None:
    drawn = draw_changes(range(2000))
    assert float(drawn.min()) >= 0
    assert float(drawn.max()) < 1
    assert np.allclose(drawn.mean(0), 0.5, atol=0.03)
    assert np.abs(np.corrcoef(drawn.T.numpy()) - np.eye(7)).max() < 0.1


def test_middle_of_all_limits_changes_nothing(image: Tensor) -> None:
    strong = find_augmentation("strong")
    assert float((changed(image, strong) - image).abs().max()) < 1e-5


def test_a_misspelt_augmentation_is_told_with_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"data\.augment=lite: must be one of none, flip, light, strong"):
        find_augmentation("lite")
