"""Grouping: copies, near copies and one patient's slices are one group, others are not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from frostline.data.grouping import ALONE, Grouping, group_scan, name_groups
from frostline.data.images import Reading
from frostline.data.listing import FolderTask
from frostline.data.records import scan_folder
from frostline.task import LUNG
from tests.data.made import record

FOLDERS = FolderTask(LUNG, {name: name for name in LUNG.classes})


def group(root: Path, cache: Path, **changes: Any) -> tuple[list[str], Grouping]:
    """Paths below the root, and how they are grouped; by near copies alone where nothing else is said."""
    scan = scan_folder(root, FOLDERS, Reading(), cache)
    usual = {"table": None, "pattern": None, "similarity": 0.94, "series_similarity": None}
    return [r.path for r in scan.records], group_scan(scan, **usual | changes, cache_dir=cache)


def test_groups_are_closed_over_chains() -> None:
    groups = name_groups([record(name) for name in "abcde"], np.array([[0, 1], [1, 2], [3, 4]]))
    assert [len(set(groups[:3])), len(set(groups))] == [1, 2]


def test_without_links_every_image_is_a_group() -> None:
    assert len(set(name_groups([record(name) for name in "abc"], np.empty((0, 2), np.int64)))) == 3


@settings(max_examples=60, deadline=None)
@given(data=st.data(), n=st.integers(1, 12))
def test_groups_do_not_depend_on_the_order_of_files_or_pairs(data: st.DataObject, n: int) -> None:
    pairs = data.draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=6))
    order = data.draw(st.permutations(range(n)))
    records = [record(f"{i:x}") for i in range(n)]
    groups = name_groups(records, np.array(pairs, np.int64).reshape(-1, 2))
    shuffled = name_groups(
        [records[i] for i in order],
        np.array([(order.index(j), order.index(i)) for i, j in reversed(pairs)], np.int64).reshape(-1, 2),
    )
    assert shuffled == [groups[i] for i in order]
    assert all(groups[i] == groups[j] for i, j in pairs)


def test_groups_of_phantoms_are_their_patients(phantoms: Path, tmp_path: Path) -> None:
    paths, found = group(phantoms, tmp_path)
    known = [path.split("_slice_")[0] for path in paths]
    assert len(set(found.groups)) == len(set(known)) == len(set(zip(found.groups, known, strict=True))) == 15
    assert set(found.by) == {"copies"}


def test_what_ties_an_image_is_said(phantoms: Path, tmp_path: Path) -> None:
    table = {"benign/patient_000_slice_00.png": "x", "benign/patient_001_slice_00.png": "x"}
    paths, found = group(
        phantoms, tmp_path, table=table, pattern=r"normal/(patient_\d+)", similarity=1.0, series_similarity=0.9
    )
    by = dict(zip(paths, found.by, strict=True))
    groups = dict(zip(paths, found.groups, strict=True))
    assert by["benign/patient_000_slice_00.png"] == "table+series+copies"
    assert by["normal/patient_010_slice_00.png"] == "pattern+copies"  # known patients need no numbers
    assert by["malignant/patient_005_slice_01.png"] == "series+copies"
    first = {groups[f"benign/patient_00{p}_slice_0{s}.png"] for p in (0, 1) for s in range(3)}
    assert len(first) == 1  # a table, and series that go on from there


def test_an_image_that_nothing_ties_stands_alone(singles: Path, tmp_path: Path) -> None:
    _, found = group(singles, tmp_path)
    assert set(found.by) == {ALONE}
    assert len(set(found.groups)) == 18


def test_group_names_tell_nothing_of_the_patient(phantoms: Path, tmp_path: Path) -> None:
    _, found = group(phantoms, tmp_path, pattern=r"(patient_\d+)")
    assert not any("patient" in name for name in found.groups)


def test_equal_files_are_one_group_at_any_similarity(copy: Path, tmp_path: Path) -> None:
    shutil.copy(copy / "benign" / "patient_000_slice_00.png", copy / "normal" / "other.png")
    paths, found = group(copy, tmp_path, similarity=1.0)
    groups = dict(zip(paths, found.groups, strict=True))
    assert groups["benign/patient_000_slice_00.png"] == groups["normal/other.png"]
