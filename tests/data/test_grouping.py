"""Grouping: copies, near copies and one patient's slices are one group, others are not."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from frostline.data import grouping
from frostline.data.folders import FolderTask
from frostline.data.grouping import find_near_pairs, group_records, near_pairs
from frostline.data.records import Record, scan_folder
from frostline.errors import FrostlineError
from frostline.task import LUNG

NO_PAIRS = np.empty((0, 2), np.int64)
WINDOW = (-600.0, 1500.0)
FOLDERS = FolderTask(LUNG, {name: name for name in LUNG.classes})


def record(name: str, sha256: str | None = None, patient: str | None = None) -> Record:
    return Record(name, 0, sha256 or f"{name:0<64}", 8, 8, patient)


def jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=60)
    return Image.open(file)


ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg": jpeg,
    "brighter": lambda p: p.point(lambda v: min(255, int(v * 1.2 + 10))),
    "shifted": lambda p: Image.fromarray(np.roll(np.asarray(p), 1, axis=1)),
    "cropped": lambda p: p.crop((1, 1, p.width - 1, p.height - 1)),
    "larger": lambda p: p.resize((p.width * 2, p.height * 2), Image.Resampling.BICUBIC),
}


@pytest.fixture(scope="module")
def unit_rows() -> np.ndarray:
    rows = np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("similarity", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("block", [1, 7, 2048])
def test_near_pairs_are_those_at_or_above_the_similarity_whatever_the_block(
    unit_rows: np.ndarray, similarity: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouping, "_BLOCK", block)
    exact = unit_rows.astype(np.float64) @ unit_rows.T.astype(np.float64)
    expected = {(i, j) for i in range(40) for j in range(i + 1, 40) if exact[i, j] >= similarity}
    assert {(i, j) for i, j in near_pairs(unit_rows, similarity).tolist()} == expected


def test_copies_are_near_at_a_similarity_of_one(unit_rows: np.ndarray) -> None:
    rows = np.concatenate([unit_rows, unit_rows[5:6], unit_rows[9:10]])
    assert near_pairs(rows, 1.0).tolist() == [[5, 40], [9, 41]]


def test_a_pair_at_the_threshold_is_decided_in_double_precision() -> None:
    """Sums in float32 differ between processors; what decides must not."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(200, 4096)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    exact = rows.astype(np.float64) @ rows.T.astype(np.float64)
    values = exact[np.triu_indices(200, 1)]
    for threshold in np.sort(values)[-1000::50]:  # each is the exact value of one pair
        found = len(near_pairs(rows, float(threshold) + 1e-6 - 1e-12))
        assert found == (values >= threshold - 1e-12).sum()


def test_nothing_is_near_in_an_empty_data_set() -> None:
    assert near_pairs(np.empty((0, 4096), np.float32), 0.9).shape == (0, 2)


def test_groups_are_closed_over_chains_of_pairs_checksums_and_patients() -> None:
    records = [record("a"), record("b"), record("c", "d" * 64), record("d", "d" * 64, "p"), record("e", patient="p")]
    records += [record("f"), record("1", patient="q")]
    groups = group_records(records, np.array([[0, 1], [1, 2]]))
    assert len(set(groups[:5])) == 1
    assert len(set(groups)) == 3


def test_images_without_a_known_patient_are_not_one_patient() -> None:
    assert len(set(group_records([record(name) for name in "abc"], NO_PAIRS))) == 3


def test_group_names_tell_nothing_of_the_patient() -> None:
    names = group_records([record("a", patient="Mrs Miller"), record("b", patient="Mrs Miller")], NO_PAIRS)
    assert names == ["ga000000000"] * 2


@settings(max_examples=60, deadline=None)
@given(data=st.data(), n=st.integers(1, 12))
def test_groups_do_not_depend_on_the_order_of_files_or_pairs(data: st.DataObject, n: int) -> None:
    patients = data.draw(st.lists(st.sampled_from([None, "p", "q"]), min_size=n, max_size=n))
    pairs = data.draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=6))
    order = data.draw(st.permutations(range(n)))
    records = [record(f"{i:x}", patient=p) for i, p in enumerate(patients)]
    groups = group_records(records, np.array(pairs, np.int64).reshape(-1, 2))
    shuffled = group_records(
        [records[i] for i in order],
        np.array([(order.index(j), order.index(i)) for i, j in reversed(pairs)], np.int64).reshape(-1, 2),
    )
    assert shuffled == [groups[i] for i in order]
    assert all(groups[i] == groups[j] for i, j in pairs)


@pytest.mark.parametrize("change", ALTERED)
def test_an_altered_copy_is_in_the_group_of_its_original_and_nothing_else_is(
    singles: Path, tmp_path: Path, change: str
) -> None:
    root = tmp_path / "altered"
    for file in singles.rglob("*.png"):
        target = root / file.relative_to(singles)
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(file) as image:
            image.save(target)
            ALTERED[change](image).save(target.with_name(f"{target.stem}_altered.png"))
    scan = scan_folder(root, FOLDERS, patient_pattern=None, window=WINDOW, cache_dir=tmp_path / "cache")
    groups = group_records(scan.records, find_near_pairs(scan, 0.94, WINDOW, tmp_path / "cache"))
    by_original: dict[str, set[str]] = {}
    for r, group in zip(scan.records, groups, strict=True):
        by_original.setdefault(r.path.removesuffix(".png").removesuffix("_altered"), set()).add(group)
    assert len(by_original) == 18
    assert all(len(names) == 1 for names in by_original.values())
    assert len(set(groups)) == 18


def test_groups_of_phantoms_are_their_patients(phantoms: Path, tmp_path: Path) -> None:
    scan = scan_folder(phantoms, FOLDERS, patient_pattern=None, window=WINDOW, cache_dir=tmp_path)
    groups = group_records(scan.records, find_near_pairs(scan, 0.94, WINDOW, tmp_path))
    known = [r.path.split("_slice_")[0] for r in scan.records]
    assert len(set(groups)) == len(set(known)) == len(set(zip(groups, known, strict=True))) == 15


def test_comparing_is_done_once_for_the_same_images_and_anew_for_others(copy: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    scan = scan_folder(copy, FOLDERS, patient_pattern=None, window=WINDOW, cache_dir=cache)
    first = find_near_pairs(scan, 0.94, WINDOW, cache)
    assert len(find_near_pairs(scan, 0.999, WINDOW, cache)) < len(first)
    shutil.rmtree(copy)
    assert np.array_equal(find_near_pairs(scan, 0.94, WINDOW, cache), first)
    with pytest.raises(FrostlineError, match="is gone"):
        find_near_pairs(scan, 0.93, WINDOW, cache)
