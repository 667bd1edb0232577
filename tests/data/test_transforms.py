"""Augmentations: light, repeatable, told when misspelt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from frostline.data.cache import load_image
from frostline.data.images import Reading
from frostline.data.transforms import AUGMENTATIONS, apply_seeded, build_augmentation
from frostline.errors import ConfigError

READING = Reading()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmentation_is_repeatable_light_and_stays_a_image(phantoms: Path, name: str) -> None:
    image = load_image(next(phantoms.rglob("*.png")), 64, READING)
    transform = build_augmentation(name)
    before = image.clone()
    changed = [apply_seeded(transform, image, seed) for seed in range(8)]
    assert torch.equal(image, before)
    assert all(torch.equal(apply_seeded(transform, image, seed), changed[seed]) for seed in range(8))
    assert all(c.shape == image.shape and c.min() >= 0 and c.max() <= 1 for c in changed)
    versions = {c.numpy().tobytes() for c in changed}
    assert len(versions) == {"none": 1, "flip": 2}.get(name, 8)


def test_a_misspelt_augmentation_is_told_with_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"data\.augment=lite: must be one of none, flip, light, strong"):
        build_augmentation("lite")
