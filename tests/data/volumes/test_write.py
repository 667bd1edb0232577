"""`frostline slices`: the values of the scanner, the picture of a radiologist, and nobody's name."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array

from frostline.data.images import Reading
from frostline.data.listing import FolderTask
from frostline.data.records import scan_folder
from frostline.data.volumes.find import VOLUME_SUFFIXES
from frostline.data.volumes.findings import Choice
from frostline.data.volumes.write import write_slices
from frostline.errors import ConfigError
from frostline.task import Task
from tests.conftest import Frostline
from tests.data.volumes.scans import (
    numbers,
    read,
    refusal,
    table,
    write_dicom,
    write_series,
    write_volume,
)


def test_slices_of_a_series_are_what_pydicom_reads_from_feet_to_head(chest: np.ndarray, tmp_path: Path) -> None:
    source = write_series(tmp_path / "dicom" / "a" / "b", chest).parents[1]
    written = write_slices(source, tmp_path / "out")
    assert (written.slices, written.series, written.patients, written.notes) == (8, 1, 1, ())
    files = sorted((dcmread(f) for f in source.rglob("IM*")), key=lambda d: float(d.ImagePositionPatient[2]))
    expected = np.stack([apply_modality_lut(pixel_array(d), d) for d in files])
    np.testing.assert_array_equal(read(tmp_path / "out"), expected)
    np.testing.assert_array_equal(expected, chest)
    names = [path for path, _ in table(tmp_path / "out")]
    assert names == [p.name for p in sorted((tmp_path / "out").glob("*.png"))]
    assert all(re.fullmatch(r"p[0-9a-f]{12}_s[0-9a-f]{8}_000[1-8]\.png", name) for name in names)


@pytest.mark.parametrize(
    ("slope", "intercept"), [("0.5", "-1100"), ("1.3726", "-1100.5"), ("2", "-1200"), ("0.1", "-1100")]
)
def test_a_rescale_is_applied_and_rounded(chest: np.ndarray, tmp_path: Path, slope: str, intercept: str) -> None:
    source = write_series(tmp_path / "dicom", chest, RescaleSlope=slope, RescaleIntercept=intercept)
    write_slices(source, tmp_path / "out")
    files = sorted((dcmread(f) for f in source.iterdir()), key=lambda d: float(d.ImagePositionPatient[2]))
    expected = np.stack([np.rint(apply_modality_lut(pixel_array(d), d)) for d in files])
    np.testing.assert_array_equal(read(tmp_path / "out"), expected)


def test_slices_with_rescales_of_their_own_keep_them(chest: np.ndarray, tmp_path: Path) -> None:
    for n, image in enumerate(chest):
        write_dicom(tmp_path / "dicom" / f"{n}.dcm", image, 3 * n, RescaleSlope="1" if n % 2 else "0.5")
    write_slices(tmp_path / "dicom", tmp_path / "out")
    np.testing.assert_array_equal(read(tmp_path / "out"), chest)


@pytest.mark.parametrize("suffix", VOLUME_SUFFIXES)
@pytest.mark.parametrize("orientation", ["LPS", "RAS", "PIR", "ASL", "LAI"])
def test_every_storage_of_a_chest_gives_one_picture(
    chest: np.ndarray, tmp_path: Path, orientation: str, suffix: str
) -> None:
    write_slices(write_volume(tmp_path / f"chest{suffix}", chest, orientation), tmp_path / "out")
    np.testing.assert_array_equal(read(tmp_path / "out"), chest)


@pytest.mark.parametrize(
    ("axes", "turn"),
    [
        ((-1, 0, 0, 0, -1, 0), lambda image: image[::-1, ::-1]),  # the patient lies on the belly
        ((-1, 0, 0, 0, 1, 0), lambda image: image[:, ::-1]),  # mirrored: the normal points to the feet
        ((0, 1, 0, 1, 0, 0), lambda image: image.T),
    ],
)
def test_however_dicom_stores_a_slice_it_is_turned_the_same_way(
    chest: np.ndarray, tmp_path: Path, axes: tuple[int, ...], turn: Any
) -> None:
    stored = np.stack([np.ascontiguousarray(turn(image)) for image in chest])
    write_slices(write_series(tmp_path / "dicom", stored, ImageOrientationPatient=list(axes)), tmp_path / "out")
    np.testing.assert_array_equal(read(tmp_path / "out"), chest)


def test_float_volumes_are_rounded(chest: np.ndarray, tmp_path: Path) -> None:
    write_slices(write_volume(tmp_path / "chest.nii.gz", chest + np.float32(0.3)), tmp_path / "out")
    np.testing.assert_array_equal(read(tmp_path / "out"), chest)


@pytest.mark.parametrize("kind", ["dicom", "chest.nii.gz"])
def test_every_nth_slice_and_a_range_count_from_the_lowest(chest: np.ndarray, tmp_path: Path, kind: str) -> None:
    source = write_series(tmp_path / kind, chest) if kind == "dicom" else write_volume(tmp_path / kind, chest)
    wanted = {
        "all": (Choice(every=3), [1, 4, 7]),
        "from": (Choice(start=5.0), [3, 4, 5, 6, 7, 8]),
        "to": (Choice(stop=4.9), [1, 2]),
        "both": (Choice(every=2, start=2.5, stop=10.0), [2, 4]),
    }
    for name, (choice, expected) in wanted.items():
        write_slices(source, tmp_path / name, choice)
        assert numbers(tmp_path / name) == expected
        np.testing.assert_array_equal(read(tmp_path / name), chest[np.array(expected) - 1])
    assert "no slice from --from to --to" in refusal(source, tmp_path / "none", choice=Choice(start=100.0))


def test_choices_that_cannot_be_are_refused() -> None:
    for wrong in ({"every": 0}, {"min_slices": 1}, {"start": 5.0, "stop": 4.0}):
        with pytest.raises(ConfigError, match="--"):
            Choice(**wrong)  # type: ignore[arg-type]


def test_nothing_that_is_written_names_the_patient_who_has_one_name_in_all_classes_and_no_other_data_set(
    chest: np.ndarray, tmp_path: Path
) -> None:
    source = write_series(tmp_path / "dicom", chest)
    hashes = []
    for name in ("data/benign", "data/normal", "other data/benign"):
        write_slices(source, tmp_path / name)
        for path in (tmp_path / name).iterdir():
            content = path.name.encode() + path.read_bytes()
            assert not any(secret in content for secret in (b"4711", b"Miller", b"Anna", b"1.2.3"))
        hashes.append({patient for _, patient in table(tmp_path / name)})
        assert len(hashes[-1]) == 1
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_folder_that_is_not_empty_is_left_alone(chest: np.ndarray, tmp_path: Path) -> None:
    source = write_volume(tmp_path / "chest.nii.gz", chest)
    (tmp_path / "out").mkdir()
    write_slices(source, tmp_path / "out")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match="not empty"):
        write_slices(source, tmp_path / "out")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_killed_call_leaves_nothing_that_passes_for_whole(chest: np.ndarray, tmp_path: Path) -> None:
    source = write_series(tmp_path / "dicom", chest)
    code = f"""
import os, signal
from pathlib import Path
from frostline.data.volumes import write as volumes
real, calls = volumes._read_oriented, []
def read(*arguments):
    calls.append(0)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)
volumes._read_oriented = read
volumes.write_slices(Path({str(source)!r}), Path({str(tmp_path / "out" / "malignant")!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "out" / "malignant").exists()
    assert all(path.name.startswith(".") for path in (tmp_path / "out").iterdir())
    assert write_slices(source, tmp_path / "out" / "malignant").slices == 8


def test_the_command_says_what_it_wrote_and_what_to_type_next(
    chest: np.ndarray, tmp_path: Path, frostline: Frostline
) -> None:
    source = write_volume(tmp_path / "chest.nii.gz", chest)
    folder = tmp_path / "DATA" / "malignant"
    code, out, _ = frostline("slices", str(source), str(folder), "--every", "2", "--from", "0", "--to", "10")
    assert code == 0
    *_, last, salt, following = out.splitlines()
    assert last.startswith(f"3 slices of 1 series of 1 patients in {folder}")
    assert salt.startswith(f"{folder.parent}/.patients-salt makes the names of patients: delete it")
    assert following.endswith(f"frostline data {folder.parent}")
    task = FolderTask(Task(("benign", "malignant")), {"malignant": "malignant"})
    scan = scan_folder(folder.parent, task, Reading(), tmp_path)
    assert len({record.facts.patient for record in scan.records}) == 1
    assert None not in {record.facts.patient for record in scan.records}
    code, _, err = frostline("slices", str(source), str(folder))
    assert code == 2
    assert "not empty" in err


def test_without_simpleitk_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    assert re.search(r"needs SimpleITK: pip install .*\[volumes\]", refusal(tmp_path, tmp_path / "out"))
