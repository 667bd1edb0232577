"""Numbered slices: repeatable, runs of numbers that follow patients, gaps, copies, and people who differ."""

import csv
import re
from collections import defaultdict
from collections.abc import Callable
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from frostline.data.phantoms import numbered
from frostline.data.phantoms.cohort import draw_cohort
from frostline.data.phantoms.numbered import write_numbered

PATIENTS = {"benign": 2, "malignant": 4, "normal": 3}
Files = list[tuple[str, str]]


def _write(root: Path, seed: int = 4, **changes: Any) -> Files:
    usual = {"slices": (3, 7), "size": 64, "missing": 0.1, "stretches": 0.3, "copies": 0.1, "shared": 1}
    return write_numbered(root, seed, PATIENTS, **usual | changes)


def _bytes(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _by_class(files: Files) -> dict[str, list[tuple[int, str]]]:
    """Number and patient of each class's files, as listed."""
    classes = defaultdict(list)
    for path, patient in files:
        match = re.fullmatch(r"(\w+) cases/\1 case \((\d+)\)\.png", path)
        assert match
        classes[match[1].lower()].append((int(match[2]), patient))
    return classes


def _plan(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Files]:
    """`write_numbered` without images."""
    monkeypatch.setattr(numbered, "is_written", lambda root, files: True)
    return lambda seed, **options: write_numbered(Path("nowhere"), seed, PATIENTS, **options)


def test_same_arguments_give_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first, again, other = (_write(tmp_path / name, seed) for name, seed in (("a", 4), ("b", 4), ("c", 5)))
    assert first == again
    assert _bytes(tmp_path / "a") == _bytes(tmp_path / "b")
    assert not set(_bytes(tmp_path / "a").values()) & set(_bytes(tmp_path / "c").values())
    assert other != first


def test_truth_names_every_file_and_lies_outside(tmp_path: Path) -> None:
    files = _write(tmp_path / "set", truth=tmp_path / "keys" / "truth.csv")
    assert sorted(path for path, _ in files) == sorted(_bytes(tmp_path / "set"))
    assert {patient for _, patient in files} == {f"PHANTOM-{n:03d}" for n in range(9)}
    with (tmp_path / "keys" / "truth.csv").open(newline="") as table:
        assert [(row["file"], row["patient"]) for row in csv.DictReader(table)] == files
    with pytest.raises(ValueError, match="outside"):
        _write(tmp_path / "other", truth=tmp_path / "other" / "truth.csv")
    assert not (tmp_path / "other").exists()


def test_files_are_grey_pngs(tmp_path: Path) -> None:
    for path, _ in _write(tmp_path / "set"):
        with Image.open(tmp_path / "set" / path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "L", (64, 64))


def test_existing_set_is_left_alone_and_another_one_refused(tmp_path: Path) -> None:
    files = _write(tmp_path / "set")
    path = tmp_path / "set" / files[0][0]
    path.write_bytes(b"mine")
    assert _write(tmp_path / "set", truth=tmp_path / "truth.csv") == files
    assert path.read_bytes() == b"mine"
    assert (tmp_path / "truth.csv").is_file()
    with pytest.raises(FileExistsError, match="another data set"):
        _write(tmp_path / "set", slices=(9, 9))


def test_interrupted_writer_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(numbered, "scan_patient", stop)
    with pytest.raises(KeyboardInterrupt):
        _write(tmp_path / "set", truth=tmp_path / "truth.csv")
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    missing=st.floats(0, 0.9),
    stretches=st.floats(0, 1),
    shared=st.integers(0, 6),
    fewest=st.integers(2, 6),
)
def test_runs_of_numbers_follow_patients(seed: int, missing: float, stretches: float, shared: int, fewest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        options = {"missing": missing, "stretches": stretches, "shared": shared, "slices": (fewest, 8), "copies": 0.0}
        files = _plan(patch)(seed, **options)
    classes = _by_class(files)
    assert classes.keys() == PATIENTS.keys()
    owners = defaultdict(set)
    for class_name, entries in classes.items():
        assert all(a < b for (a, _), (b, _) in pairwise(entries))
        runs = [patient for patient, _ in groupby(patient for _, patient in entries)]
        assert len(runs) == len(set(runs)) == PATIENTS[class_name] + (shared if class_name == "normal" else 0)
        for patient in runs:
            owners[patient].add(class_name)
    assert len(owners) == sum(PATIENTS.values())
    assert sum(len(places) == 2 for places in owners.values()) == shared


def test_numbers_have_gaps_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = _plan(monkeypatch)
    for entries in _by_class(plan(1, missing=0.0, stretches=0.0)).values():
        assert [number for number, _ in entries] == list(range(1, len(entries) + 1))
    single = {b - a for e in _by_class(plan(1, missing=0.2, stretches=0.0)).values() for (a, _), (b, _) in pairwise(e)}
    assert 2 in single
    assert max(single) < 8
    long = {b - a for e in _by_class(plan(1, missing=0.0, stretches=1.0)).values() for (a, _), (b, _) in pairwise(e)}
    assert max(long) > 5


def test_copies_are_byte_equal_and_of_the_same_patient(tmp_path: Path) -> None:
    files = _write(tmp_path / "set", copies=0.2, missing=0.0)
    twins = defaultdict(list)
    for path, patient in files:
        twins[(tmp_path / "set" / path).read_bytes()].append((path, patient))
    pairs = [same for same in twins.values() if len(same) > 1]
    assert sum(len(same) - 1 for same in pairs) == pytest.approx(0.2 * len(twins), abs=2)
    assert all(len({patient for _, patient in same}) == 1 for same in pairs)
    gaps = [entries[-1][0] - entries[0][0] for entries in (_by_class(same).popitem()[1] for same in pairs)]
    assert 1 in gaps  # beside the original
    assert max(gaps) > 1  # at the end


def test_patients_correlate_as_real_ones_do(tmp_path: Path) -> None:
    """Median over 10 seeds at 128 px: 0.30 between patients, 0.84 of neighbours; real ones have 0.3 and 0.8 to 0.9."""
    between, near = [], []
    for seed in range(2):
        files = _write(tmp_path / str(seed), seed, copies=0.0, slices=(4, 8))
        flat = np.stack([np.asarray(Image.open(tmp_path / str(seed) / path), float).ravel() for path, _ in files])
        flat -= flat.mean(axis=1, keepdims=True)
        flat /= np.linalg.norm(flat, axis=1, keepdims=True)
        likeness, patients = flat @ flat.T, np.array([patient for _, patient in files])
        between.append(likeness[patients[:, None] != patients])
        near.append(np.diag(likeness, 1)[patients[1:] == patients[:-1]])
    assert 0.2 < np.median(np.concatenate(between)) < 0.5
    assert np.percentile(np.concatenate(between), 95) < 0.7
    assert 0.7 < np.median(np.concatenate(near)) < 0.9


def test_shared_patient_is_healthy_in_normal_alone() -> None:
    cohort = draw_cohort(3, PATIENTS, (4, 8), (1.0, 2.0), shared=2)
    shown = [[patient.class_of(index) for index in range(patient.slices)] for patient in cohort if patient.normal]
    assert len(shown) == 2
    for classes in shown:
        assert len(set(classes)) == len(list(groupby(classes))) == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"shared": 7}, "cannot show 7 of 6"),
        ({"shared": -1}, "cannot show"),
        ({"slices": (1, 3)}, "each of at least 1"),
        ({"slices": (5, 3)}, "from a smaller"),
        ({"step": (0.0, 3.0)}, "from a smaller"),
        ({"missing": 1.0}, "not shares"),
        ({"copies": -0.1}, "not shares"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        _write(tmp_path / "set", **changes)
    assert list(tmp_path.iterdir()) == []


def test_unknown_class_or_no_patients_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown phantom class 'bengin'"):
        write_numbered(tmp_path / "set", 0, {"bengin": 1}, size=64)
    for patients in ({}, {"normal": 0}):
        with pytest.raises(ValueError, match="needs a patient"):
            write_numbered(tmp_path / "set", 0, patients, size=64)
    assert list(tmp_path.iterdir()) == []
