"""The audit: what `frostline data` says must be what is on the disk, and what a run would do."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frostline.config.compose import compose_config
from frostline.config.schema import DataConfig
from frostline.data.audit import audit_data
from frostline.data.audit_text import audit_text
from frostline.data.dataset import split_data
from frostline.data.phantoms.dicom import write_dicom
from frostline.data.phantoms.numbered import write_numbered
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
        "normal/broken.png: ",
        "copies      2 files are byte for byte the same as another",
        "near copies 47 images (88.7 %) correlate with another one by 0.94",
        "of different classes: benign/patient_001_slice_00.png and normal/other_class.png",
        "patients    15 by data.patient_pattern",
        "groups      21: 5 benign, 11 malignant, 6 normal (1 counted in two classes, for it holds both)",
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
    assert audit.random_leaks[0] == leaks > 0
    text = audit_text(audit, config)
    assert f"drawn by image (data.split=random): {leaks} of " in text
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
    assert audit.split.leaks["test"] == audit.random_leaks[0] > 0


def test_what_is_not_used_is_counted_by_kind_with_an_example(copy: Path, tmp_path: Path, config_of: ConfigOf) -> None:
    for i in range(3):
        Image.fromarray(np.zeros((9, 9), np.uint8)).save(copy / "benign" / f"{i}.gif")
    (copy / "notes.txt").write_text("on these data")
    config = config_of(copy)
    text = audit_text(audit_data(config, tmp_path / "cache"), config)
    assert "no images   1 file\n              1 in no folder of a class, such as notes.txt" in text
    assert "left out    3 files\n              3 GIF: save it as PNG, such as benign/0.gif" in text
    assert "notes.txt" not in audit_text(audit_data(config, tmp_path / "cache"), config, names=False)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Slices numbered through three classes, and who is whose."""
    root = tmp_path_factory.mktemp("numbered") / "slices"
    patients = {"benign": 4, "malignant": 5, "normal": 6}
    return root, dict(write_numbered(root, 3, patients, size=64, missing=0.1, stretches=0.2, shared=1))


def test_where_no_patient_is_known_it_says_how_sure_groups_are_and_what_it_cannot_see(
    numbered: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, _ = numbered
    config = DataConfig(name="folder", root=str(root), documented_patients={"benign": 4, "malignant": 5})
    audit = audit_data(config, tmp_path)
    text = audit_text(audit, config)
    for line in (
        "patients    not known: no data.patients, no data.patient_pattern, no PatientID in a DICOM header",
        "the publishers document 4 benign, 5 malignant, ? normal patients",
        "data.similarity            0.6    0.7    0.8   0.85    0.9   0.95   0.99",
        "data.series_similarity     0.2    0.3   0.35    0.4    0.5    0.6    0.8",
        "groups are few: ",
        "take folds: frostline study --folds 5, or -m 'data.val_fold=range(5)'",
        "neighbours by number, one of them in training: ",
        "what this cannot see:\n  the patient is known of no image",
    ):
        assert line in text
    groups = [row.groups for row in audit.by_series]
    assert groups == sorted(groups)
    assert [row.groups for row in audit.by_similarity] == sorted(row.groups for row in audit.by_similarity)


def test_numbered_series_keep_nearly_all_slices_of_a_patient_together(
    numbered: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, truth = numbered

    def recall(**changes: float | None) -> float:
        data = split_data(DataConfig(name="folder", root=str(root), **changes), tmp_path)  # type: ignore[arg-type]  # floats
        pairs = [
            (a.group == b.group)
            for i, a in enumerate(data.examples)
            for b in data.examples[:i]
            if truth[a.path] == truth[b.path]
        ]
        return sum(pairs) / len(pairs)

    assert recall() > 0.95
    assert recall() > recall(series_similarity=None) + 0.1


def test_no_neighbour_by_number_above_the_threshold_stands_on_the_other_side(
    numbered: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, _ = numbered
    for seed in range(3):
        audit = audit_data(DataConfig(name="folder", root=str(root), split_seed=seed), tmp_path)
        assert audit.split is not None
        assert audit.split.alike_across == []
    plain = audit_data(DataConfig(name="folder", root=str(root), series_similarity=None), tmp_path)
    assert plain.split is not None
    assert plain.split.alike_across


def test_patients_of_headers_are_counted_by_split(tmp_path: Path) -> None:
    root = tmp_path / "dicom"
    patients = {"benign": 5, "malignant": 5, "normal": 5}
    truth = dict(write_dicom(root, 0, patients, slices=2, size=64, extras=("localizer", "pet", "report", "dicomdir")))
    config = DataConfig(name="folder", root=str(root), similarity=0.99)
    audit = audit_data(config, tmp_path / "cache")
    text = audit_text(audit, config)
    assert {r.path for r in audit.scan.records} == set(truth)
    assert "patients    15 by DICOM headers" in text
    assert "test images with their patient in training: 0 of " in text
    assert re.search(r"30 PT: .*\n.*15 localizer: ", text)
    assert audit.split is not None
    assert len({(truth[e.path], e.split) for e in audit.split.examples}) == 15
    random = audit_data(replace(config, split="random"), tmp_path / "cache")
    assert random.split is not None
    of_test = random.split.of("test")
    trained = {truth[e.path] for e in random.split.of("train")}
    assert random.split.leaks["test"] == sum(truth[e.path] in trained for e in of_test) > 0


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


def test_a_split_by_near_copies_keeps_copies_together_and_lets_patients_leak(
    numbered: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, _ = numbered
    options = ["data=folder", f"data.root={root}"]
    leaks = {}
    for split in ("random", "copies", "grouped"):
        data = split_data(compose_config([*options, f"data.split={split}"]).data, tmp_path)
        leaks[split] = data.leaks["test"], data.near_copies["test"]
    assert leaks["grouped"] == (0, 0)
    assert leaks["copies"][0] > leaks["copies"][1] == 0
    assert leaks["random"][1] > 0
