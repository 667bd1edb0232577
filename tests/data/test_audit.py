"""The audit: what `frostline data` says must be what is on the disk, and what a run would do."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frostline.config.schema import DataConfig
from frostline.data.audit import audit_data
from frostline.data.audit_text import audit_text
from frostline.data.dataset import split_data
from frostline.errors import FrostlineError

ConfigOf = Callable[..., DataConfig]


@pytest.fixture
def flawed(copy: Path) -> Path:
    """Phantoms with an exact copy, a copy under another class, an unreadable file and six odd sizes in one class."""
    shutil.copyfile(copy / "benign" / "patient_000_slice_00.png", copy / "benign" / "copy.png")
    shutil.copyfile(copy / "benign" / "patient_001_slice_00.png", copy / "normal" / "other_class.png")
    (copy / "normal" / "broken.png").write_bytes(b"no image")
    for i in range(6):
        noise = np.random.default_rng(i).integers(0, 255, (50, 40), np.uint8)
        Image.fromarray(noise).save(copy / "malignant" / f"odd_{i}.png")
    return copy


def test_everything_that_is_wrong_with_a_data_set_is_in_the_text(
    flawed: Path, tmp_path: Path, config_of: ConfigOf
) -> None:
    config = config_of(flawed, patient_pattern=r"(patient_\d+)")
    text = audit_text(audit_data(config, tmp_path / "cache"), config)
    for line in (
        "images      53: 16 benign (30.2 %), 21 malignant (39.6 %), 16 normal (30.2 %)",
        "sizes       96x96 (47), 40x50 (6)",
        "all 6 of 40x50 are malignant: a shortcut that a network can learn",
        "unreadable  1 file",
        "normal/broken.png: not a JPEG, PNG, TIFF, BMP image",
        "copies      2 files are byte for byte the same as another",
        "near copies 47 images (88.7 %) have another one above 0.94",
        "of different classes: benign/patient_001_slice_00.png and normal/other_class.png",
        "patients    15 by data.patient_pattern",
        "groups      21: 5 benign, 11 malignant, 6 normal; the largest of 4 images (7.5 %)",
        "proposed split (data.split=grouped, data.split_seed=0):",
        "test images with one of their group in training: 0 of ",
    ):
        assert line in text
    assert "96x96 are" not in text


def test_the_audit_proposes_the_split_that_a_run_draws_and_counts_the_leaks_of_the_other(
    phantoms: Path, shared_cache: Path, config_of: ConfigOf
) -> None:
    config = config_of(phantoms, split_seed=2)
    audit = audit_data(config, shared_cache)
    assert audit.split is not None
    assert audit.split.examples == split_data(config, shared_cache).examples
    leaks = split_data(config_of(phantoms, split="random", split_seed=2), shared_cache).leaks["test"]
    assert audit.random_leaks == leaks > 0
    text = audit_text(audit, config)
    assert f"drawn by image (data.split=random) it would be {leaks}" in text
    rows = re.findall(
        r"(train|val|test) +(\d+) images in (\d+) \w+: (\d+) b\w+ of \d+, (\d+) m\w+ of \d+, (\d+) n", text
    )
    assert [row[0] for row in rows] == ["train", "val", "test"]
    numbers = np.array([row[1:] for row in rows], int)
    assert numbers.sum(axis=0).tolist() == [45, 15, 15, 15, 15]


def test_an_audit_of_a_random_split_says_how_many_test_images_leak(
    phantoms: Path, shared_cache: Path, config_of: ConfigOf
) -> None:
    config = config_of(phantoms, split="random")
    audit = audit_data(config, shared_cache)
    assert audit.split is not None
    assert f"one of their group in training: {audit.split.leaks['test']} of " in audit_text(audit, config)
    assert audit.split.leaks["test"] == audit.random_leaks > 0


def test_a_data_set_that_cannot_be_split_is_described_all_the_same(
    copy: Path, tmp_path: Path, config_of: ConfigOf
) -> None:
    for file in (copy / "benign").glob("patient_00[234]*"):
        file.unlink()
    config = config_of(copy)
    text = audit_text(audit_data(config, tmp_path / "cache"), config)
    assert "images      36: 6 benign" in text
    assert "none: class benign has 2 independent group(s)" in text


def test_a_data_set_of_which_nothing_can_be_read_is_an_error_that_says_why(
    copy: Path, tmp_path: Path, config_of: ConfigOf
) -> None:
    for file in copy.rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(FrostlineError, match=r"45 of 45 files .* cannot be read: .*\(empty file\)"):
        audit_data(config_of(copy, on_unreadable="skip"), tmp_path / "cache")


def test_a_manifest_that_does_not_fit_is_an_error_in_the_audit_too(
    copy: Path, tmp_path: Path, config_of: ConfigOf
) -> None:
    (tmp_path / "m.csv").write_text("path,sha256\n")
    with pytest.raises(FrostlineError, match="has no column class"):
        audit_data(config_of(copy, split="manifest", manifest=str(tmp_path / "m.csv")), tmp_path / "cache")
