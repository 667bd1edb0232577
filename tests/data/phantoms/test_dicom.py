"""Synthetic DICOM: repeatable, consistent headers, and the objects beside the slices that real downloads hold."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.pixels.processing import apply_modality_lut

from frostline.data.phantoms.cohort import draw_cohort, scan_patient
from frostline.data.phantoms.dicom import EXTRAS, write_dicom

PATIENTS = {"malignant": 2, "normal": 1}


def _write(root: Path, seed: int = 4, **changes: Any) -> list[tuple[str, str]]:
    return write_dicom(root, seed, PATIENTS, 3, 64, **changes)


def _read(root: Path) -> dict[str, Dataset]:
    return {path.relative_to(root).as_posix(): dcmread(path) for path in sorted(root.rglob("*.dcm"))}


def _bytes(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_same_arguments_give_same_bytes_and_another_seed_other_uids(tmp_path: Path) -> None:
    options = {"extras": EXTRAS, "shared": 1, "layout": "series"}
    first, again, other = (_write(tmp_path / name, s, **options) for name, s in (("a", 4), ("b", 4), ("c", 5)))
    assert first == again
    assert _bytes(tmp_path / "a") == _bytes(tmp_path / "b")
    assert not {Path(path).name for path, _ in first} & {Path(path).name for path, _ in other}


def test_headers_say_whose_a_slice_is_and_where_it_lies(tmp_path: Path) -> None:
    truth = dict(_write(tmp_path / "set", truth=tmp_path / "truth.csv"))
    data = _read(tmp_path / "set")
    assert data.keys() == truth.keys()
    assert len((tmp_path / "truth.csv").read_text().splitlines()) == 1 + len(data)
    series = defaultdict(list)
    for path, image in data.items():
        assert path == f"{path.split('/')[0]}/{image.SOPInstanceUID}.dcm"
        assert image.file_meta.TransferSyntaxUID.name == "Explicit VR Little Endian"
        assert (image.PatientID, image.Modality) == (truth[path], "CT")
        assert image.ImageType == ["ORIGINAL", "PRIMARY", "AXIAL"]
        series[image.PatientID, image.StudyInstanceUID, image.SeriesInstanceUID].append(image)
    assert len(series) == len({patient for patient, *_ in series}) == 3
    for images in series.values():
        images.sort(key=lambda image: image.InstanceNumber)
        heights = [float(image.ImagePositionPatient[2]) for image in images]
        assert np.diff(heights) == pytest.approx(float(images[0].SliceThickness), abs=0.01)
        assert float(images[0].ImagePositionPatient[0]) < -100
        assert [image.InstanceNumber for image in images] == [1, 2, 3]


@pytest.mark.parametrize(("intercept", "signed"), [(-1024, 0), (0, 1)])
def test_rescaled_pixels_are_hounsfield_units(tmp_path: Path, intercept: int, signed: int) -> None:
    _write(tmp_path / "set", intercept=intercept)
    stacks = {p.name: scan_patient(4, p, 64) for p in draw_cohort(4, PATIENTS, (3, 3), (1.5, 6.0), 0)}
    for image in _read(tmp_path / "set").values():
        hu = stacks[image.PatientID][image.InstanceNumber - 1]
        assert image.PixelRepresentation == signed
        assert np.abs(apply_modality_lut(image.pixel_array, image) - hu.clip(-1024, 3071)).max() <= 0.5


def test_folders_per_patient_and_series(tmp_path: Path) -> None:
    _write(tmp_path / "set", layout="series", extras=["pet"])
    for path, image in _read(tmp_path / "set").items():
        assert path.split("/")[1:] == [image.PatientID, image.SeriesInstanceUID, f"{image.SOPInstanceUID}.dcm"]


def test_shared_patient_has_one_series_in_two_classes(tmp_path: Path) -> None:
    _write(tmp_path / "set", shared=1)
    classes = defaultdict(set)
    for path, image in _read(tmp_path / "set").items():
        classes[image.SeriesInstanceUID].add(path.split("/")[0])
    assert sorted(map(len, classes.values())) == [1, 1, 2]
    assert {"Malignant", "Normal"} in classes.values()


def test_extras_belong_to_their_patients_and_stay_out_of_the_truth(tmp_path: Path) -> None:
    truth = dict(_write(tmp_path / "set", extras=EXTRAS))
    data = _read(tmp_path / "set")
    extras = {path: image for path, image in data.items() if path not in truth}
    assert len(data) == len(truth) + 3 * (1 + 3 + 1 + 1)
    kinds = defaultdict(list)
    for image in extras.values():
        kinds[image.SOPClassUID.name.removesuffix(" Storage")].append(image)
    slices = {image.PatientID: image for path, image in data.items() if path in truth}
    assert kinds.keys() == {
        "CT Image", "Positron Emission Tomography Image", "Secondary Capture Image", "Basic Text SR",
    }  # fmt: skip
    for image in kinds["CT Image"]:
        assert "LOCALIZER" in image.ImageType
        assert image.SeriesInstanceUID == slices[image.PatientID].SeriesInstanceUID
    for image in kinds["Positron Emission Tomography Image"]:
        assert (image.Modality, image.pixel_array.shape) == ("PT", (32, 32))
    for image in kinds["Secondary Capture Image"]:
        assert (image.ImageType, image.pixel_array.dtype) == (["DERIVED", "SECONDARY"], np.uint8)
    for image in kinds["Basic Text SR"]:
        assert "PixelData" not in image
    for image in extras.values():
        assert image.StudyInstanceUID == slices[image.PatientID].StudyInstanceUID
    assert len({image.SOPInstanceUID for image in data.values()}) == len(data)


def test_dicomdir_lists_all_objects(tmp_path: Path) -> None:
    _write(tmp_path / "set", extras=EXTRAS)
    directory = dcmread(tmp_path / "set" / "DICOMDIR")
    records = {record.seq_item_tell: record for record in directory.DirectoryRecordSequence}

    def walk(offset: int) -> list[str]:
        found = []
        while offset:
            record = records[offset]
            below = record.OffsetOfReferencedLowerLevelDirectoryEntity
            found += walk(below) if below else [record.ReferencedSOPInstanceUIDInFile]
            offset = record.OffsetOfTheNextDirectoryRecord
        return found

    listed = walk(directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity)
    assert sorted(listed) == sorted(image.SOPInstanceUID for image in _read(tmp_path / "set").values())


def test_existing_set_is_left_alone_and_another_one_refused(tmp_path: Path) -> None:
    files = _write(tmp_path / "set")
    before = _bytes(tmp_path / "set")
    assert _write(tmp_path / "set") == files
    assert _bytes(tmp_path / "set") == before
    with pytest.raises(FileExistsError, match="another data set"):
        _write(tmp_path / "set", seed=5)


@pytest.mark.parametrize(
    "changes", [{"extras": ["mri"]}, {"layout": "deep"}, {"intercept": -1000}, {"shared": 3}, {"truth": "inside"}]
)
def test_arguments_out_of_range_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    if "truth" in changes:
        changes = {"truth": tmp_path / "set" / "truth.csv"}
    with pytest.raises(ValueError, match=r"unknown extras|layout is|cannot show|outside"):
        _write(tmp_path / "set", **changes)
    assert list(tmp_path.iterdir()) == []
