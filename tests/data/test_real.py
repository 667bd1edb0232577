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
from frostline.data.records import Scan, thumbnails

WINDOW = (-600.0, 1500.0)


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
    rows = thumbnails(scan, WINDOW).astype(np.float64)
    return np.asarray(rows @ rows.T)


def test_all_images_are_read_in_three_classes(scan: Scan) -> None:
    assert scan.unreadable == ()
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
    split = split_data(replace(config, split_seed=seed), cache)
    for label in split.task.classes:
        total = sum(e.label == label for e in split.examples)
        for name, fraction in (("train", 0.70), ("val", 0.15), ("test", 0.15)):
            share = sum(e.label == label for e in split.of(name)) / total
            assert share == pytest.approx(fraction, abs=0.03)


def test_a_random_split_leaks_as_many_test_images_as_have_a_near_copy_in_training(
    config: DataConfig, cache: Path, alike: np.ndarray
) -> None:
    split = split_data(replace(config, split="random"), cache)
    of = np.array([e.split for e in split.examples])
    leaking = (alike[np.ix_(of == "test", of == "train")] >= config.similarity).any(axis=1).sum()
    assert split.leaks["test"] == leaking > 0.5 * (of == "test").sum()
