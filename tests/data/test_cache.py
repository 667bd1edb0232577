"""Decoded images: kept while there is room, resized as promised."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from frostline.data.cache import ImageCache, load_image
from frostline.data.images import Reading, read_slice
from frostline.errors import FrostlineError

READING = Reading()


@pytest.mark.parametrize("gigabytes", [0.0, 3 * 4 * 32 * 32 / 1e9, 1.0])
def test_images_are_kept_while_there_is_room_and_the_same_either_way(copy: Path, gigabytes: float) -> None:
    paths = [file.relative_to(copy).as_posix() for file in sorted(copy.rglob("*.png"))[:6]]
    cache = ImageCache(copy, paths, 32, READING, gigabytes)
    first = [cache[i].clone() for i in range(6)]
    assert len(cache) == 6
    assert all(torch.equal(cache[i], load_image(copy / paths[i], 32, READING)) for i in range(6))
    room = min(6, round(gigabytes * 1e9 / (4 * 32 * 32)))
    shutil.rmtree(copy)
    assert all(torch.equal(cache[i], first[i]) for i in range(room))
    if room < 6:
        with pytest.raises(FrostlineError, match="is gone"):
            cache[room]


def test_images_have_the_size_asked_for_and_the_grey_values_of_the_file(phantoms: Path) -> None:
    file = next(phantoms.rglob("*.png"))
    assert load_image(file, 48, READING).shape == (1, 48, 48)
    assert torch.equal(load_image(file, 96, READING)[0], torch.from_numpy(read_slice(file, READING).grey))
    small = load_image(file, 32, READING)[0]
    boxes = read_slice(file, READING).grey.reshape(32, 3, 32, 3).mean(axis=(1, 3))
    assert np.abs(small.numpy() - boxes).mean() < 0.03  # smoothed, not sampled
    assert 0 <= float(small.min()) <= float(small.max()) <= 1


def test_oblong_images_become_square(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 90), np.uint8)).save(tmp_path / "oblong.png")
    assert load_image(tmp_path / "oblong.png", 32, READING).shape == (1, 32, 32)
