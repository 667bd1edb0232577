"""The data of a run: the split belongs to the data, order and augmentation to (seed, epoch), nothing to chance."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from frostline.config.schema import DataConfig
from frostline.data.cache import load_image
from frostline.data.datamodule import SliceDataModule
from frostline.data.images import Reading
from frostline.data.manifest import manifest_csv
from frostline.errors import FrostlineError
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
    return [data.on_after_batch_transfer(batch, 0) for batch in loader]  # type: ignore[misc]  # images, no kept values


def equal(a: list[tuple[Tensor, Tensor]], b: list[tuple[Tensor, Tensor]]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, y) and torch.equal(i, j) for (x, i), (y, j) in zip(a, b, strict=True)
    )


def test_the_training_seed_does_not_move_the_split_and_the_split_seed_does(
    phantoms: Path, shared_cache: Path, config_of: ConfigOf
) -> None:
    manifests = [
        manifest_csv(SliceDataModule(config_of(phantoms, split_seed=split), seed, shared_cache).data.examples)
        for seed, split in ((0, 0), (1, 0), (0, 1))
    ]
    assert manifests[0] == manifests[1]
    assert manifests[0] != manifests[2]


def test_fitting_never_reads_a_test_image(copy: Path, tmp_path: Path, config_of: ConfigOf) -> None:
    data = SliceDataModule(config_of(copy), 0, tmp_path / "cache")
    tests = data.data.of("test")
    for e in tests:
        (copy / e.path).write_bytes(b"not to be read")
    data.setup("fit")
    assert sum(len(labels) for _, labels, _ in data.train_dataloader()) == len(data.data.of("train"))
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
        assert sum(len(labels) for _, labels, _ in data.train_dataloader()) == seen
        assert sum(len(labels) for _, labels in data.eval_loader("train")) == n


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
