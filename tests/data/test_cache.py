"""Decoded images: kept while there is room, resized as promised."""

from __future__ import annotations

import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from frostline.data.cache import ImageCache, load_image, shared_images
from frostline.data.images import Reading, read_slice
from frostline.data.manifest import Example
from frostline.data.records import file_sha256
from frostline.data.shared_images import SharedImages
from frostline.errors import FrostlineError

READING, OTHER = Reading(), Reading(window_center=40.0)


def listed(root: Path, count: int) -> list[Example]:
    files = sorted(root.rglob("*.png"))[:count]
    return [Example(f.relative_to(root).as_posix(), file_sha256(f), "benign", "g", "train") for f in files]


def putting(root: str, examples: list[Example], shared: SharedImages, out: multiprocessing.Queue[float]) -> None:
    cache = ImageCache(Path(root), examples, 32, READING, 0.0, shared)
    out.put(float(cache.batch(range(len(cache))).double().sum()))


@pytest.mark.parametrize("gigabytes", [0.0, 3 * 2 * 32 * 32 / 1e9, 1.0])
def test_images_are_kept_while_there_is_room_and_the_same_either_way(copy: Path, gigabytes: float) -> None:
    examples = listed(copy, 6)
    cache = ImageCache(copy, examples, 32, READING, gigabytes)
    first = cache.batch(range(6))
    assert len(cache) == 6
    assert torch.equal(first, torch.stack([load_image(copy / e.path, 32, READING) for e in examples]))
    assert torch.equal(cache.batch([4, 1]), first[[4, 1]])
    room = min(6, round(gigabytes * 1e9 / (2 * 32 * 32)))
    shutil.rmtree(copy)
    assert torch.equal(cache.batch(range(room)), first[:room])
    if room < 6:
        with pytest.raises(FrostlineError, match="is gone"):
            cache.batch([room])


def test_images_are_decoded_once_for_all_runs(copy: Path, tmp_path: Path) -> None:
    examples, folder = listed(copy, 4), tmp_path / "images"
    first = ImageCache(copy, examples, 32, READING, 0.0, shared_images(folder, examples, 32, READING)).batch(range(4))
    shutil.rmtree(copy)
    shuffled = [examples[i] for i in (2, 0, 3)]  # a split of the same data set
    shared = shared_images(folder, [*shuffled, examples[1]], 32, READING)
    assert torch.equal(ImageCache(copy, shuffled, 32, READING, 0.0, shared).batch(range(3)), first[[2, 0, 3]])
    for size, reading in ((48, READING), (32, OTHER)):
        with pytest.raises(FrostlineError, match="is gone"):  # decoded in another way, so not there
            ImageCache(copy, examples, size, reading, 0.0, shared_images(folder, examples, size, reading)).batch([0])


@given(data=st.data(), name=st.sampled_from(["images", "checksums"]))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_damages_them_shared_images_are_read_anew(
    phantoms: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str
) -> None:
    folder = tmp_path_factory.mktemp("images")
    examples = listed(phantoms, 3)

    def batch() -> torch.Tensor:
        return ImageCache(phantoms, examples, 32, READING, 0.0, shared_images(folder, examples, 32, READING)).batch(
            range(3)
        )

    want = batch()
    (file,) = folder.rglob(name)
    whole = file.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1), "at")
    damage = data.draw(st.sampled_from(["cut", "a bit", "zeros", "gone"]), "damage")
    if damage == "gone":
        file.unlink()
    else:
        bit = bytes([whole[at] ^ 1])
        file.write_bytes(whole[:at] + {"cut": b"", "a bit": bit + whole[at + 1 :], "zeros": b"\0" * 4096}[damage])
    assert torch.equal(batch(), want)
    assert file.read_bytes()[: len(whole)] == whole


def test_a_folder_that_cannot_be_written_to_costs_time_alone(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "images").write_text("a file where the folder would be")
    examples = listed(copy, 1)
    shared = shared_images(tmp_path / "images", examples, 32, READING)
    cache = ImageCache(copy, examples, 32, READING, 1.0, shared)
    first = cache.batch([0])
    shutil.rmtree(copy)
    assert torch.equal(cache.batch([0]), first)  # kept in memory instead


def test_several_processes_share_them(copy: Path, tmp_path: Path) -> None:
    examples = listed(copy, 12)
    shared = shared_images(tmp_path / "images", examples, 32, READING)
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may wait for ever
    out: multiprocessing.Queue[float] = context.Queue()
    processes = [context.Process(target=putting, args=(str(copy), examples, shared, out)) for _ in range(2)]
    for process in processes:
        process.start()
    sums = {out.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(60)
    assert len(sums) == 1
    want = ImageCache(copy, examples, 32, READING, 0.0, shared).batch(range(12))
    assert float(want.double().sum()) in sums
    assert {f.name: f.stat().st_mode & 0o777 for f in shared.folder.iterdir()} == {"images": 0o600, "checksums": 0o600}


def test_a_file_that_was_replaced_is_not_taken_for_the_one_that_was_listed(copy: Path, tmp_path: Path) -> None:
    examples = listed(copy, 2)
    shutil.copy(copy / examples[1].path, copy / examples[0].path)
    shared = shared_images(tmp_path / "images", examples, 32, READING)
    for given_ in (None, shared, shared):  # it does not get there either
        with pytest.raises(FrostlineError, match="has changed since the data set was listed"):
            ImageCache(copy, examples, 32, READING, 0.0, given_).batch([0])


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
