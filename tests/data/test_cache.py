"""Decoded images: kept while there is room, resized as promised."""

from __future__ import annotations

import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from frostline.data.cache import ImageCache, load_image, shared_images
from frostline.data.images import Reading, read_slice
from frostline.data.manifest import Example
from frostline.data.records import file_sha256
from frostline.data.shared import SharedTensors
from frostline.errors import FrostlineError

READING, OTHER = Reading(), Reading(window_center=40.0)


def listed(root: Path, count: int) -> list[Example]:
    files = sorted(root.rglob("*.png"))[:count]
    return [Example(f.relative_to(root).as_posix(), file_sha256(f), "benign", "g", "train") for f in files]


def putting(root: str, examples: list[Example], shared: SharedTensors, out: multiprocessing.Queue[float]) -> None:
    cache = ImageCache(Path(root), examples, 32, READING, 0.0, shared)
    out.put(float(sum(cache[i].double().sum() for i in range(len(cache)))))


@pytest.mark.parametrize("gigabytes", [0.0, 3 * 4 * 32 * 32 / 1e9, 1.0])
def test_images_are_kept_while_there_is_room_and_the_same_either_way(copy: Path, gigabytes: float) -> None:
    examples = listed(copy, 6)
    paths = [e.path for e in examples]
    cache = ImageCache(copy, examples, 32, READING, gigabytes)
    first = [cache[i].clone() for i in range(6)]
    assert len(cache) == 6
    assert all(torch.equal(cache[i], load_image(copy / paths[i], 32, READING)) for i in range(6))
    room = min(6, round(gigabytes * 1e9 / (4 * 32 * 32)))
    shutil.rmtree(copy)
    assert all(torch.equal(cache[i], first[i]) for i in range(room))
    if room < 6:
        with pytest.raises(FrostlineError, match="is gone"):
            cache[room]


def test_images_are_decoded_once_for_all_runs(copy: Path, tmp_path: Path) -> None:
    examples, shared = listed(copy, 4), shared_images(tmp_path / "images", 32, READING)
    first = [ImageCache(copy, examples, 32, READING, 0.0, shared)[i] for i in range(4)]
    shutil.rmtree(copy)
    second = ImageCache(copy, examples, 32, READING, 0.0, shared)
    assert all(torch.equal(second[i], first[i]) for i in range(4))
    for size, reading in ((48, READING), (32, OTHER)):
        with pytest.raises(FrostlineError, match="is gone"):  # decoded in another way, so not there
            ImageCache(copy, examples, size, reading, 0.0, shared_images(tmp_path / "images", size, reading))[0]


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"no array at all", None])
def test_a_damaged_shared_image_is_read_anew(copy: Path, tmp_path: Path, damage: bytes | None) -> None:
    examples, shared = listed(copy, 1), shared_images(tmp_path / "images", 32, READING)
    want = ImageCache(copy, examples, 32, READING, 0.0, shared)[0]
    (file,) = (tmp_path / "images").rglob("*.safetensors")
    whole = file.read_bytes()
    file.write_bytes(whole[:-100] if damage is None else damage)
    assert torch.equal(ImageCache(copy, examples, 32, READING, 0.0, shared)[0], want)
    assert file.read_bytes() == whole


def test_a_folder_that_cannot_be_written_to_costs_time_alone(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "images").write_text("a file where the folder would be")
    shared = shared_images(tmp_path / "images", 32, READING)
    assert ImageCache(copy, listed(copy, 1), 32, READING, 0.0, shared)[0].shape == (1, 32, 32)


def test_several_processes_share_it(copy: Path, tmp_path: Path) -> None:
    examples, shared = listed(copy, 12), shared_images(tmp_path / "images", 32, READING)
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may wait for ever
    out: multiprocessing.Queue[float] = context.Queue()
    processes = [context.Process(target=putting, args=(str(copy), examples, shared, out)) for _ in range(2)]
    for process in processes:
        process.start()
    sums = {out.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(60)
    assert len(sums) == 1
    assert len(list((tmp_path / "images").rglob("*.safetensors"))) == len({e.sha256 for e in examples})
    assert not [f for f in (tmp_path / "images").rglob("*") if f.is_file() and f.suffix != ".safetensors"]


def test_a_file_that_was_replaced_is_not_taken_for_the_one_that_was_listed(copy: Path, tmp_path: Path) -> None:
    examples = listed(copy, 2)
    shutil.copy(copy / examples[1].path, copy / examples[0].path)
    for shared in (None, shared_images(tmp_path / "images", 32, READING)):
        with pytest.raises(FrostlineError, match="has changed since the data set was listed"):
            ImageCache(copy, examples, 32, READING, 0.0, shared)[0]
    assert not list(tmp_path.glob("images/**/*.safetensors"))


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
