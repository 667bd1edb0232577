"""The data of a run: the split belongs to the data, order and augmentation to (seed, epoch), nothing to chance."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from frostline.config.schema import DataConfig, PhantomConfig
from frostline.data.cache import ImageCache, load_image
from frostline.data.datamodule import SliceDataModule
from frostline.data.dataset import count_leaks, fingerprint_data, split_data
from frostline.data.images import Reading, read_slice
from frostline.data.manifest import Example, manifest_csv
from frostline.data.sampling import EpochSampler
from frostline.data.transforms import AUGMENTATIONS, apply_seeded, build_augmentation
from frostline.errors import ConfigError, FrostlineError
from frostline.seeding import derive_seed
from frostline.task import LUNG

ConfigOf = Callable[..., DataConfig]
READING = Reading()


def patient(path: str) -> str:
    found = re.search(r"patient_\d+", path)
    assert found
    return found.group()


def batches(data: SliceDataModule, epoch: int) -> list[tuple[Tensor, Tensor]]:
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    return [(images, labels) for images, labels in loader]


def equal(a: list[tuple[Tensor, Tensor]], b: list[tuple[Tensor, Tensor]]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, y) and torch.equal(i, j) for (x, i), (y, j) in zip(a, b, strict=True)
    )


def test_another_manifest_is_another_data_set(
    phantoms: Path, shared_cache: Path, tmp_path: Path, config_of: ConfigOf
) -> None:
    config = config_of(phantoms)
    examples = split_data(config, shared_cache).examples
    first, second = next((a, b) for a in examples for b in examples if a.label == b.label and a.split != b.split)
    swapped = {first.path: second.split, second.path: first.split}
    seen = {fingerprint_data(config, shared_cache)}
    for name, listed in (("a", examples), ("b", [replace(e, split=swapped.get(e.path, e.split)) for e in examples])):
        (tmp_path / name).write_text(manifest_csv(listed))
        seen.add(fingerprint_data(replace(config, split="manifest", manifest=str(tmp_path / name)), shared_cache))
    assert len(seen) == 3


# --- the split -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["grouped", "random"])
def test_two_folders_of_the_same_content_have_the_same_manifest(
    phantoms: Path, shared_cache: Path, tmp_path: Path, config_of: ConfigOf, split: str
) -> None:
    first = split_data(config_of(phantoms, split=split), shared_cache)
    other = tmp_path / "somewhere else"
    for file in sorted(phantoms.rglob("*.png"), reverse=True):  # other inodes, dates and order
        (other / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, other / file.parent.name / file.name)
    second = split_data(config_of(other, split=split), tmp_path / "cache")
    assert manifest_csv(second.examples) == manifest_csv(first.examples)
    assert len(first.examples) == 45


def test_the_training_seed_does_not_move_the_split_and_the_split_seed_does(
    phantoms: Path, shared_cache: Path, config_of: ConfigOf
) -> None:
    manifests = [
        manifest_csv(SliceDataModule(config_of(phantoms, split_seed=split), seed, shared_cache).data.examples)
        for seed, split in ((0, 0), (1, 0), (0, 1))
    ]
    assert manifests[0] == manifests[1]
    assert manifests[0] != manifests[2]


@pytest.mark.parametrize("known", [None, r"(patient_\d+)"])
@pytest.mark.parametrize("seed", range(3))
def test_no_patient_is_in_two_splits_known_or_not(
    phantoms: Path, shared_cache: Path, config_of: ConfigOf, seed: int, known: str | None
) -> None:
    data = split_data(config_of(phantoms, split_seed=seed, patient_pattern=known), shared_cache)
    assert len({(patient(e.path), e.split) for e in data.examples}) == 15
    assert data.leaks == {"val": 0, "test": 0}
    assert {(e.label, e.split) for e in data.examples} == {
        (label, split) for label in LUNG.classes for split in ("train", "val", "test")
    }


def test_known_patients_stay_together_where_their_images_are_not_alike(
    singles: Path, tmp_path: Path, config_of: ConfigOf
) -> None:
    for i, file in enumerate(sorted(singles.rglob("*.png"))):
        target = tmp_path / "data" / file.parent.name / f"person{i // 2}_{i % 2}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    plain = config_of(tmp_path / "data", series_similarity=None)
    known = config_of(tmp_path / "data", patient_pattern=r"(person\d+)_")
    assert len({e.group for e in split_data(plain, tmp_path / "cache").examples}) == 18
    examples = split_data(known, tmp_path / "cache").examples
    assert len({(e.path.split("_")[0], e.split) for e in examples}) == 9


@pytest.mark.parametrize("seed", range(4))
def test_a_random_split_leaks_and_the_leaks_are_counted_right(
    phantoms: Path, shared_cache: Path, config_of: ConfigOf, seed: int
) -> None:
    data = split_data(config_of(phantoms, split="random", split_seed=seed), shared_cache)
    trained = {patient(e.path) for e in data.of("train")}
    truth = {split: sum(patient(e.path) in trained for e in data.of(split)) for split in ("val", "test")}
    assert data.leaks == truth
    assert truth["test"] > 0


def test_leaks_between_test_and_val_do_not_count_and_images_left_out_neither() -> None:
    examples = [
        Example(path, path, "benign", "g", split) for path, split in (("a", "test"), ("b", "val"), ("c", "train"))
    ]
    assert count_leaks({"a": "g", "b": "g", "c": "h", "left out": "h"}, examples) == {"val": 0, "test": 0}
    assert count_leaks({"a": "g", "b": "h", "c": "g", "left out": "h"}, examples) == {"val": 0, "test": 1}
    assert count_leaks(dict.fromkeys("abc", "g"), examples) == {"val": 1, "test": 1}


@pytest.mark.parametrize("seed", range(3))
def test_copies_under_two_class_names_are_never_in_two_splits(
    copy: Path, tmp_path: Path, config_of: ConfigOf, seed: int
) -> None:
    for i in (0, 1, 2):
        shutil.copyfile(copy / "benign" / f"patient_00{i}_slice_00.png", copy / "normal" / f"copy_{i}.png")
    data = split_data(config_of(copy, split_seed=seed), tmp_path / "cache")
    split_of = {e.path: e.split for e in data.examples}
    assert all(split_of[f"normal/copy_{i}.png"] == split_of[f"benign/patient_00{i}_slice_00.png"] for i in (0, 1, 2))
    assert data.leaks == {"val": 0, "test": 0}


def test_a_class_of_which_nothing_can_be_read_is_an_error_even_when_skipping(
    copy: Path, tmp_path: Path, config_of: ConfigOf
) -> None:
    for file in (copy / "benign").iterdir():
        file.write_bytes(b"no image")
    with pytest.raises(FrostlineError, match="of class benign no file can be used"):
        split_data(config_of(copy, on_unreadable="skip"), tmp_path / "cache")


def test_unreadable_files_stop_or_are_left_out_and_recorded(copy: Path, tmp_path: Path, config_of: ConfigOf) -> None:
    (copy / "benign" / "broken.png").write_bytes(b"no image")
    with pytest.raises(FrostlineError, match=r"1 of 46 files .*benign/broken\.png"):
        split_data(config_of(copy), tmp_path / "cache")
    data = split_data(config_of(copy, on_unreadable="skip"), tmp_path / "cache")
    assert [u.path for u in data.unused] == ["benign/broken.png"]
    assert len(data.examples) == 45


# --- manifests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["grouped", "random"])
def test_a_manifest_brings_back_the_split_that_wrote_it(
    phantoms: Path, shared_cache: Path, tmp_path: Path, config_of: ConfigOf, split: str
) -> None:
    drawn = split_data(config_of(phantoms, split=split, split_seed=3), shared_cache)
    lines = manifest_csv(drawn.examples).splitlines()
    (tmp_path / "m.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]))
    listed = split_data(config_of(phantoms, split="manifest", manifest=str(tmp_path / "m.csv")), shared_cache)
    assert listed == drawn


def test_a_manifest_decides_which_images_and_which_classes(
    phantoms: Path, shared_cache: Path, tmp_path: Path, config_of: ConfigOf
) -> None:
    drawn = split_data(config_of(phantoms), shared_cache)
    kept = [e for e in drawn.examples if not e.path.endswith("slice_01.png")]
    text = (
        manifest_csv(kept).replace(",benign,", ",SWAP,").replace(",normal,", ",benign,").replace(",SWAP,", ",normal,")
    )
    (tmp_path / "m.csv").write_text(text)
    listed = split_data(config_of(phantoms, split="manifest", manifest=str(tmp_path / "m.csv")), shared_cache)
    assert [e.path for e in listed.examples] == [e.path for e in kept]
    assert [e.label for e in listed.examples[:1] + listed.examples[-1:]] == ["normal", "benign"]


def test_a_manifest_of_other_files_is_refused_by_name(copy: Path, tmp_path: Path, config_of: ConfigOf) -> None:
    (tmp_path / "m.csv").write_text(manifest_csv(split_data(config_of(copy), tmp_path / "cache").examples))
    (copy / "benign" / "patient_000_slice_00.png").rename(copy / "benign" / "renamed.png")
    shutil.copyfile(copy / "benign" / "renamed.png", copy / "normal" / "patient_010_slice_01.png")
    with pytest.raises(
        FrostlineError,
        match=r"1 missing: benign/patient_000_slice_00\.png; 1 changed: normal/patient_010_slice_01\.png",
    ):
        split_data(config_of(copy, split="manifest", manifest=str(tmp_path / "m.csv")), tmp_path / "cache")


# --- what is read when -----------------------------------------------------------------------------------------------


def test_fitting_never_reads_a_test_image(copy: Path, tmp_path: Path, config_of: ConfigOf) -> None:
    data = SliceDataModule(config_of(copy), 0, tmp_path / "cache")
    tests = data.data.of("test")
    for e in tests:
        (copy / e.path).write_bytes(b"not to be read")
    data.setup("fit")
    assert sum(len(labels) for _, labels in data.train_dataloader()) == len(data.data.of("train"))
    assert sum(len(labels) for _, labels in data.val_dataloader()) == len(data.data.of("val"))
    assert sum(len(labels) for _, labels in data.eval_loader("train")) == len(data.data.of("train"))
    with pytest.raises(FrostlineError, match=re.escape(tests[0].path.split("/")[-1])):
        list(data.test_dataloader())


def test_a_image_that_vanishes_during_training_is_named(copy: Path, tmp_path: Path, config_of: ConfigOf) -> None:
    data = SliceDataModule(config_of(copy, workers=1, batch_size=99), 0, tmp_path / "cache")
    gone = data.data.of("val")[0].path
    (copy / gone).unlink()
    with pytest.raises(FrostlineError, match=re.escape(gone)):
        list(data.val_dataloader())


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


# --- order and augmentation ------------------------------------------------------------------------------------------


def test_an_epoch_depends_on_seed_and_epoch_alone_whatever_the_workers(
    phantoms: Path, shared_cache: Path, config_of: ConfigOf
) -> None:
    def module(seed: int, workers: int) -> SliceDataModule:
        return SliceDataModule(config_of(phantoms, augment="strong", workers=workers), seed, shared_cache)

    alone = module(0, workers=0)
    torch.manual_seed(1)
    third = batches(alone, 3)
    torch.manual_seed(2)
    torch.rand(7)
    assert equal(batches(alone, 3), third)
    two = module(0, workers=2)
    fourth = batches(two, 4)
    assert equal(batches(two, 3), third)
    assert equal(batches(alone, 4), fourth)
    assert not equal(fourth, third)
    assert not equal(batches(module(1, workers=0), 3), third)


def test_loading_leaves_the_random_state_of_training_alone(
    phantoms: Path, shared_cache: Path, config_of: ConfigOf
) -> None:
    data = SliceDataModule(config_of(phantoms, augment="strong"), 0, shared_cache)
    loader = iter(data.train_dataloader())
    state = torch.get_rng_state()
    next(loader)
    assert torch.equal(torch.get_rng_state(), state)


def test_every_image_is_seen_once_an_epoch_with_its_own_augmentation() -> None:
    sampler = EpochSampler([0, 1, 2] * 50, seed=5)
    items = list(sampler)
    assert sorted(i for i, _ in items) == list(range(150))
    assert [i for i, _ in items] != list(range(150))
    assert len({seed for _, seed in items}) == 150
    sampler.set_epoch(1)
    assert set(sampler).isdisjoint(items)


def test_seeds_of_neighbouring_runs_and_epochs_do_not_overlap() -> None:
    assert len({derive_seed(seed, epoch) for seed in range(50) for epoch in range(50)}) == 2500
    orders = set()
    for seed in range(4):
        sampler = EpochSampler([0] * 30, seed)
        for epoch in range(4):
            sampler.set_epoch(epoch)
            orders.add(tuple(sampler))
    assert len(orders) == 16


def test_evaluation_loads_every_image_in_order_and_unchanged(
    phantoms: Path, shared_cache: Path, config_of: ConfigOf
) -> None:
    data = SliceDataModule(config_of(phantoms, augment="strong", balance="sampler"), 0, shared_cache)
    for split in ("train", "val", "test"):
        images, labels = (torch.cat(parts) for parts in zip(*data.eval_loader(split), strict=True))
        assert labels.tolist() == data.labels(split) == [LUNG.index(e.label) for e in data.data.of(split)]
        if split != "train":  # the data set of training augments when a seed is given, which eval_loader does not
            expected = [load_image(phantoms / e.path, 32, READING) for e in data.data.of(split)]
            assert torch.equal(images, torch.stack(expected))
    train = torch.cat([images for images, _ in data.eval_loader("train")])
    expected = [load_image(phantoms / e.path, 32, READING) for e in data.data.of("train")]
    assert torch.equal(train, torch.stack(expected))


def test_a_last_batch_of_one_is_dropped_in_training_only_for_batch_norm_needs_two(
    phantoms: Path, shared_cache: Path, config_of: ConfigOf
) -> None:
    n = len(SliceDataModule(config_of(phantoms), 0, shared_cache).labels("train"))
    for size, seen in ((n - 1, n - 1), (n - 2, n), (n, n), (n + 1, n)):
        data = SliceDataModule(config_of(phantoms, batch_size=size), 0, shared_cache)
        assert sum(len(labels) for _, labels in data.train_dataloader()) == seen
        assert sum(len(labels) for _, labels in data.eval_loader("train")) == n


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


# --- balance ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def uneven(phantoms: Path, tmp_path: Path) -> Path:
    """All of benign and malignant, a third of normal."""
    root = Path(shutil.copytree(phantoms, tmp_path / "uneven"))
    for file in (root / "normal").glob("*_slice_0[12].png"):
        file.unlink()
    return root


def test_class_weights_make_every_class_count_the_same(uneven: Path, tmp_path: Path, config_of: ConfigOf) -> None:
    data = SliceDataModule(config_of(uneven, balance="class_weights"), 0, tmp_path / "cache")
    weights, count = data.class_weights(), Counter(data.labels("train"))
    assert weights is not None
    shares = [float(weights[i]) * count[i] for i in range(3)]
    assert shares == pytest.approx([len(data.labels("train")) / 3] * 3)
    assert float(weights[2]) > 2 * float(weights[0])
    assert SliceDataModule(config_of(uneven), 0, tmp_path / "cache").class_weights() is None


def test_a_balanced_epoch_shows_every_class_as_often(uneven: Path, tmp_path: Path, config_of: ConfigOf) -> None:
    def seen(balance: str) -> Counter[int]:
        data = SliceDataModule(config_of(uneven, balance=balance), 0, tmp_path / "cache")
        return Counter(int(label) for epoch in range(12) for _, labels in batches(data, epoch) for label in labels)

    plain, balanced = seen("none"), seen("sampler")
    assert plain[2] < 0.5 * plain[0]
    assert balanced.total() == plain.total()
    for label in range(3):
        assert balanced[label] == pytest.approx(balanced.total() / 3, rel=0.15)


def test_balanced_sampling_is_repeatable_and_changes_with_the_epoch() -> None:
    labels = [0] * 30 + [1] * 5 + [2] * 5
    first, again = (EpochSampler(labels, seed=1, balanced=True) for _ in range(2))
    assert list(first) == list(again)
    again.set_epoch(1)
    assert list(first) != list(again)
    assert len(list(again)) == len(again) == 40


# --- the embedded data set -------------------------------------------------------------------------------------------


def test_the_embedded_data_set_is_written_once_and_split_by_patient(tmp_path: Path) -> None:
    config = DataConfig(
        patient_pattern=r"(patient_\d+)", similarity=0.94, phantom=PhantomConfig(patients=3, slices=2, size=64)
    )
    first = split_data(config, tmp_path)
    stamps = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.png")}
    assert len(stamps) == len(first.examples) == 18
    assert split_data(config, tmp_path) == first
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.png")} == stamps
    assert len({(patient(e.path), e.split) for e in first.examples}) == 9
