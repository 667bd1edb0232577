"""The published images: what is known of them holds, and their default split leaks nothing.

FROSTLINE_IQOTHNCCD=DIR names the folder that holds "Bengin cases", "Malignant cases" and "Normal cases".
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from frostline.config.compose import compose_config
from frostline.config.schema import DataConfig
from frostline.data.dataset import SplitData, scan_data, split_data
from frostline.data.records import Scan


@pytest.fixture(scope="module")
def config() -> DataConfig:
    """The options that `data=iqothnccd` gives."""
    root = os.environ.get("FROSTLINE_IQOTHNCCD")
    if not root:
        pytest.skip("FROSTLINE_IQOTHNCCD is not set: it names the folder of the IQ-OTH/NCCD images")
    if not Path(root).is_dir():
        pytest.skip(f"FROSTLINE_IQOTHNCCD={root}: there is no such folder")
    return compose_config(["data=iqothnccd", f"data.root='{root}'"]).data


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="module")
def scan(config: DataConfig, cache: Path) -> Scan:
    return scan_data(config, cache)


@pytest.fixture(scope="module")
def split(config: DataConfig, cache: Path) -> SplitData:
    return split_data(config, cache)


@pytest.fixture(scope="module")
def alike(scan: Scan) -> np.ndarray:
    """Correlation of every image with every other, in double precision."""
    rows = scan.thumbnails.reshape(len(scan.records), -1).astype(np.float64)
    rows -= rows.mean(axis=1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows @ rows.T)


def test_all_images_are_read_in_three_classes(scan: Scan) -> None:
    assert {u.status for u in scan.unused} == {"no image"}
    assert Counter(r.label for r in scan.records) == {"benign": 93, "malignant": 441, "normal": 333}
    assert {r.path.split("/")[0] for r in scan.records} == {"Bengin cases", "Malignant cases", "Normal cases"}


def test_sizes_are_those_published_and_odd_ones_tell_the_class(scan: Scan) -> None:
    sizes = Counter((r.width, r.height) for r in scan.records)
    assert sizes.most_common(1)[0][0] == (512, 512)
    assert set(sizes) <= {(512, 512), (623, 512), (801, 512), (511, 404), (506, 331)}
    assert {r.label for r in scan.records if (r.width, r.height) in {(623, 512), (801, 512), (511, 404)}} == {
        "malignant"
    }


def test_no_test_image_has_a_train_or_val_image_above_the_similarity(
    config: DataConfig, scan: Scan, split: SplitData, alike: np.ndarray
) -> None:
    assert [e.path for e in split.examples] == [r.path for r in scan.records]
    of = np.array([e.split for e in split.examples])
    assert alike[np.ix_(of == "test", of != "test")].max() < config.similarity
    assert alike[np.ix_(of == "val", of == "train")].max() < config.similarity
    assert split.leaks == {"val": 0, "test": 0}
    checksums = Counter(sha256 for sha256, _ in {(e.sha256, e.split) for e in split.examples})
    assert max(checksums.values()) == 1


@pytest.mark.parametrize("seed", range(3))
def test_every_class_is_in_every_split_near_the_fractions(config: DataConfig, cache: Path, seed: int) -> None:
    """Groups are large: up to 54 of 867 images."""
    split = split_data(replace(config, split_seed=seed), cache)
    for label in split.task.classes:
        total = sum(e.label == label for e in split.examples)
        for name, fraction in (("train", 0.70), ("val", 0.15), ("test", 0.15)):
            share = sum(e.label == label for e in split.of(name)) / total
            assert share == pytest.approx(fraction, abs=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_no_neighbour_by_number_that_is_alike_stands_on_the_other_side(
    config: DataConfig, cache: Path, seed: int
) -> None:
    split = split_data(replace(config, split_seed=seed), cache)
    assert 0 < len(split.across) < 40  # they look like any two patients, and are named by `frostline data`
    assert split.alike_across == []


def test_groups_are_near_the_documented_patients_where_near_copies_alone_are_three_times_as_many(
    config: DataConfig, cache: Path, split: SplitData
) -> None:
    assert split.grouping is not None
    assert 40 < len(set(split.grouping.groups)) < 110
    alone = split_data(replace(config, series_similarity=None), cache)
    assert alone.grouping is not None
    assert len(set(alone.grouping.groups)) > 300


def test_in_a_random_split_nearly_every_test_image_has_its_group_in_training(config: DataConfig, cache: Path) -> None:
    split = split_data(replace(config, split="random"), cache)
    assert split.leaks["test"] > 0.9 * len(split.of("test"))
    assert split.near_copies["test"] > 0.5 * len(split.of("test"))
