"""`frostline slices`: the values of the scanner, the picture of a radiologist, and nobody's name."""

from __future__ import annotations

import csv
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  # as its own documentation does
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from frostline.data.images import Reading
from frostline.data.listing import FolderTask
from frostline.data.phantoms.patients import render_patient
from frostline.data.records import scan_folder
from frostline.data.volumes.find import VOLUME_SUFFIXES
from frostline.data.volumes.findings import Choice
from frostline.data.volumes.write import write_slices, written_text
from frostline.errors import ConfigError, FrostlineError
from frostline.task import Task
from tests.conftest import Frostline

PATIENT = "Miller^Anna-4711"
AXIAL = (1, 0, 0, 0, 1, 0)


@pytest.fixture(scope="module")
def chest() -> np.ndarray:
    """HU of a synthetic chest, int16 [8, 64, 64], LPS; each slice has a mark of its own."""
    grey = render_patient(3, "malignant", 8, 64).astype(np.float64)
    hu = np.rint(grey * 1350 / 255 - 1050).astype(np.int16)
    hu[:, 0, 0] = 100 * np.arange(8)
    return hu


def write_dicom(path: Path, hu: np.ndarray, z: float, **elements: Any) -> Path:
    """One slice of a CT series of `PATIENT`; `elements` override, and None removes."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = elements.get("SOPClassUID", CTImageStorage)
    meta.MediaStorageSOPInstanceUID = elements.get("SOPInstanceUID", generate_uid())
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    fields = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "PatientID": PATIENT,
        "PatientName": PATIENT,
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "ImagePositionPatient": [-40.0, -200.0, z],
        "ImageOrientationPatient": list(AXIAL),
        "PixelSpacing": [0.75, 0.75],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": hu.shape[0],
        "Columns": hu.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "RescaleSlope": "1",
        "RescaleIntercept": "-1100",
    }
    for name, value in (fields | elements).items():
        if value is not None:
            setattr(data, name, value)
    stored = hu.astype(np.float64) - float(data.get("RescaleIntercept", 0))
    data.PixelData = np.rint(stored / float(data.get("RescaleSlope", 1))).astype(np.uint16).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def write_series(folder: Path, hu: np.ndarray, step: float = 2.5, **elements: Any) -> Path:
    """A series whose file names are in no order of the slices."""
    for n, image in enumerate(hu):
        write_dicom(folder / f"IM{(n * 37 + 3) % 97:04d}", image, -300 + step * n, **elements)
    return folder


def read(folder: Path) -> np.ndarray:
    """HU of all slices that were written, in the order of their names."""
    stacks = []
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            assert image.mode == "I;16"
            assert image.info["frostline:hu-offset"] == "32768"  # type: ignore[attr-defined]
            stacks.append(np.asarray(image).astype(int) - 32768)
    return np.stack(stacks)


def table(folder: Path) -> list[tuple[str, str]]:
    with (folder / "patients.csv").open() as file:
        return [(row["path"], row["patient"]) for row in csv.DictReader(file)]


def numbers(folder: Path) -> list[int]:
    return [int(path.stem.rsplit("_", 1)[1]) for path in sorted(folder.glob("*.png"))]


def refusal(source: Path, folder: Path, **options: Any) -> str:
    """The message of a refusal, which leaves nothing behind."""
    with pytest.raises(FrostlineError) as error:
        write_slices(source, folder, **options)
    assert not folder.exists()
    assert not list(folder.parent.glob(f".{folder.name}*"))
    assert "\n" not in str(error.value)
    return str(error.value)


def write_volume(path: Path, hu: np.ndarray, orientation: str = "LPS") -> Path:
    """A volume file that stores the same chest with other axes."""
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((0.75, 0.75, 2.5))
    image.SetOrigin((-40, -200, -300))
    sitk.WriteImage(sitk.DICOMOrient(image, orientation), str(path))
    return path


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


def test_volume_files_of_one_name_in_two_sources_are_two_patients(chest: np.ndarray, tmp_path: Path) -> None:
    for name in ("benign", "normal"):
        (tmp_path / name).mkdir()
        write_slices(write_volume(tmp_path / name / "case_1.nii.gz", chest), tmp_path / "data" / name)
    assert len({patient for name in ("benign", "normal") for _, patient in table(tmp_path / "data" / name)}) == 2


def test_patients_are_told_apart_and_series_of_one_are_put_together(chest: np.ndarray, tmp_path: Path) -> None:
    source = tmp_path / "dicom"
    for number, (patient, study, series) in enumerate(
        [("A", "1.1", "1.1.1"), ("A", "1.2", "1.2.1"), ("B", "2", "2.1")]
    ):
        write_series(source / str(number), chest, PatientID=patient, StudyInstanceUID=study, SeriesInstanceUID=series)
    written = write_slices(source, tmp_path / "out", Choice(every=4))
    assert (written.slices, written.series, written.patients) == (6, 3, 2)
    assert "6 slices of 3 series of 2 patients" in written_text(written)
    by_pattern = write_slices(source, tmp_path / "pattern", Choice(every=4), patient_pattern="^([0-9]+)/")
    assert by_pattern.patients == 3
    for pattern, reason in (("^x(.)", "does not fit"), ("[", "no regular"), ("^[0-9]", "no group")):
        assert reason in refusal(source, tmp_path / "no", patient_pattern=pattern)


def test_without_an_id_a_study_is_a_patient_and_that_is_said(chest: np.ndarray, tmp_path: Path) -> None:
    for n in range(2):
        study = {"StudyInstanceUID": f"1.{n}", "SeriesInstanceUID": f"1.{n}.1"}
        write_series(tmp_path / "none" / str(n), chest, PatientID=None, **study)
        write_series(tmp_path / "nobody" / str(n), chest, PatientID="ANONYMOUS", **study)
        write_series(tmp_path / "alike" / str(n), chest, PatientID="HOSPITAL", **study)
    none, alike = (write_slices(tmp_path / kind, tmp_path / f"{kind}-out") for kind in ("none", "alike"))
    assert none.patients == write_slices(tmp_path / "nobody", tmp_path / "nobody-out").patients == 2
    assert none.notes[0].startswith("2 series without PatientID: each study is taken for a patient")
    assert alike.patients == 1
    assert alike.notes[0].startswith("2 studies that share their only PatientID")


def test_volume_files_of_one_name_are_patients_of_their_own(chest: np.ndarray, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        write_volume(tmp_path / "in" / name / "ct.nii.gz", chest)
    written = write_slices(tmp_path / "in", tmp_path / "out")
    assert written.patients == written.series == 2
    assert written.notes[0].startswith("2 volume files: each is taken for a patient of its own")
    (tmp_path / "in" / "a" / "ct2.mha").symlink_to(write_volume(tmp_path / "ct2.mha", chest))
    joined = write_slices(tmp_path / "in", tmp_path / "joined", patient_pattern="^(.)/")
    assert (joined.series, joined.patients, joined.notes) == (3, 2, ())


def test_what_only_accompanies_a_series_is_left_out_and_counted(chest: np.ndarray, tmp_path: Path) -> None:
    source = write_series(tmp_path / "dicom", chest)
    (source / "notes.txt").write_text("no DICOM")
    write_series(source / "mr", chest, SeriesInstanceUID="9.1", Modality="MR", SOPClassUID=MRImageStorage)
    write_series(source / "sagittal", chest, SeriesInstanceUID="9.2", ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    write_series(source / "few", chest[:3], SeriesInstanceUID="9.3")
    write_series(source / "bolus", chest, step=0, SeriesInstanceUID="9.5")
    write_series(source / "page", chest[:1], SeriesInstanceUID="9.4", SOPClassUID=SecondaryCaptureImageStorage)
    write_dicom(source / "scout", chest[0], 0, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])  # within the series
    copied = dcmread(source / "IM0003")
    copied.save_as(source / "copy of IM0003")
    written = write_slices(source, tmp_path / "out")
    np.testing.assert_array_equal(read(tmp_path / "out"), chest)
    notes = "\n".join(written.notes)
    for line in (
        "1 series left out: MR, such as mr/IM",
        "1 series left out: sagittal, such as sagittal/IM",
        "2 series left out: fewer than --min-slices 5, such as ",
        "1 series left out: secondary, such as page/IM",
        "1 series left out: localizer, such as scout",
    ):
        assert line in notes


def test_reformations_within_the_series_itself_are_left_out(chest: np.ndarray, tmp_path: Path) -> None:
    source = write_series(tmp_path / "dicom", chest)
    write_series(source / "reformatted", chest, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    assert write_slices(source, tmp_path / "out").notes[0].startswith("1 series left out: sagittal")
    np.testing.assert_array_equal(read(tmp_path / "out"), chest)


def test_kinds_of_dicom_are_kept_when_they_are_asked_for(chest: np.ndarray, tmp_path: Path) -> None:
    source = write_series(tmp_path / "dicom", chest, ImageType=["DERIVED", "SECONDARY", "AXIAL"])
    assert "1 series left out: derived" in refusal(source, tmp_path / "out")
    assert write_slices(source, tmp_path / "out", Choice(keep=("derived",))).slices == len(chest)


def test_a_folder_without_ct_is_refused_with_what_it_holds(chest: np.ndarray, tmp_path: Path) -> None:
    write_series(tmp_path / "mr", chest, Modality="MR", SOPClassUID=MRImageStorage)
    assert "1 series left out: MR" in refusal(tmp_path / "mr", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "readme.txt").write_text("nothing")
    assert "no axial CT series" in refusal(tmp_path / "empty", tmp_path / "out")
    assert "no such file or folder" in refusal(tmp_path / "absent", tmp_path / "out")


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"RescaleType": "US"}, "RescaleType is US, expected HU"),
        ({"RescaleSlope": None}, "no RescaleSlope"),
        ({"SOPClassUID": EnhancedCTImageStorage}, "enhanced DICOM"),
        ({"NumberOfFrames": "2"}, "several frames"),
        ({"ImagePositionPatient": [0, 0]}, "damaged DICOM"),
        ({"RescaleIntercept": "0"}, "are not HU of a chest"),
    ],
)
def test_series_that_are_not_in_hu_are_refused_or_left_out(
    chest: np.ndarray, tmp_path: Path, elements: dict[str, Any], reason: str
) -> None:
    source = tmp_path / "dicom"
    stored = np.maximum(chest, 0) if "RescaleIntercept" in elements else chest
    write_series(source / "good", chest)
    write_series(source / "wrong", stored, SeriesInstanceUID="9.9", **elements)
    message = refusal(source, tmp_path / "out")
    assert message.startswith("wrong/IM")
    assert reason in message
    assert message.endswith("--skip-refused leaves out what is refused")
    written = write_slices(source, tmp_path / "out", skip_refused=True)
    assert written.series == 1
    assert any("refused: " in note and reason in note for note in written.notes)
    assert len(table(tmp_path / "out")) == len(list((tmp_path / "out").glob("*.png"))) == 8


def test_a_damaged_slice_takes_its_series_with_it(chest: np.ndarray, tmp_path: Path) -> None:
    source = tmp_path / "dicom"
    write_series(source / "good", chest, SeriesInstanceUID="9.9")
    whole = write_series(source / "wrong", chest) / "IM0040"
    whole.write_bytes(whole.read_bytes()[:-1000])
    assert "cannot be read" in refusal(source, tmp_path / "out")
    assert write_slices(source, tmp_path / "out", skip_refused=True).series == 1
    np.testing.assert_array_equal(read(tmp_path / "out"), chest)


def test_slices_that_an_anonymiser_gave_one_uid_are_all_written(chest: np.ndarray, tmp_path: Path) -> None:
    write_slices(write_series(tmp_path / "dicom", chest, SOPInstanceUID="1.2.3.4.5"), tmp_path / "out")
    np.testing.assert_array_equal(read(tmp_path / "out"), chest)


def test_two_phases_in_one_series_are_refused(chest: np.ndarray, tmp_path: Path) -> None:
    write_series(tmp_path / "dicom" / "a", chest)
    write_series(tmp_path / "dicom" / "b", chest)
    assert "several images at one height" in refusal(tmp_path / "dicom", tmp_path / "out")


def test_gaps_tilts_and_long_pixels_are_said_and_nothing_is_resampled(chest: np.ndarray, tmp_path: Path) -> None:
    source, angle = tmp_path / "dicom", np.radians(20)
    write_series(source / "gap", np.delete(chest, 3, axis=0))
    for file in (source / "gap").iterdir():
        data = dcmread(file)
        if data.ImagePositionPatient[2] > -293:  # as if the fourth slice were lost
            data.ImagePositionPatient[2] += 2.5
            data.save_as(file)
    tilted = [1, 0, 0, 0, float(np.cos(angle)), float(np.sin(angle))]
    write_series(source / "tilt", chest, SeriesInstanceUID="9.1", ImageOrientationPatient=tilted)
    write_series(source / "long", chest, SeriesInstanceUID="9.2", PixelSpacing=[0.75, 1.5])
    notes = write_slices(source, tmp_path / "out").notes
    assert [re.sub("IM[0-9]+", "IM", note) for note in notes] == [
        "1 series with slices missing or unevenly spaced, such as gap/IM (steps of 2.5 to 5 mm)",
        "1 series with pixels that are not square, written as they are, such as long/IM (0.75 x 1.5 mm)",
        "1 series turned or tilted against the patient's axes, written as they lie, such as tilt/IM (20 degrees)",
    ]
    write_slices(source / "tilt", tmp_path / "tilted")
    np.testing.assert_array_equal(read(tmp_path / "tilted"), chest)


def volume_of(values: np.ndarray, colour: bool = False) -> sitk.Image:
    return sitk.GetImageFromArray(values, isVector=colour)


def test_volumes_that_are_no_ct_are_refused(chest: np.ndarray, tmp_path: Path) -> None:
    wrong = {
        "four.nii.gz": (volume_of(np.stack([chest, chest])), "4 dimensions"),
        "flat.mha": (volume_of(chest[0]), "2 dimensions"),
        "colour.nrrd": (volume_of(np.zeros((8, 8, 8, 3), np.uint8), colour=True), "3 values a voxel"),
        "mask.nii.gz": (volume_of((chest > 0).astype(np.uint8)), "values of 0 to 1 are not HU"),
        "shifted.nii.gz": (volume_of(chest + np.int16(1100)), "are not HU of a chest"),
        "padded.nii.gz": (volume_of(chest - np.int16(8000)), "are not HU of a chest"),
        "nan.mha": (volume_of(np.where(chest > 0, np.nan, chest).astype(np.float32)), "nan"),
    }
    for name, (image, reason) in wrong.items():
        sitk.WriteImage(image, str(tmp_path / name))
        assert reason in refusal(tmp_path / name, tmp_path / "out")
    (tmp_path / "broken.nii.gz").write_bytes(b"no NIfTI")
    assert "cannot be read" in refusal(tmp_path / "broken.nii.gz", tmp_path / "out")
    lost = tmp_path / "lost.nii"
    content = bytearray(write_volume(lost, chest).read_bytes())
    content[252:256] = bytes(4)  # qform_code and sform_code
    lost.write_bytes(content)
    assert "which way is up" in refusal(lost, tmp_path / "out")


def test_dicom_and_volume_files_are_not_taken_together(chest: np.ndarray, tmp_path: Path) -> None:
    write_volume(write_series(tmp_path / "both", chest) / "same.nii.gz", chest)
    assert "in two folders" in refusal(tmp_path / "both", tmp_path / "out")


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
