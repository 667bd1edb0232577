"""Scans that tests store as DICOM or as volume files, and slices read back."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  # as its own documentation does
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)

from frostline.data.volumes.write import write_slices
from frostline.errors import FrostlineError

PATIENT = "Miller^Anna-4711"


AXIAL = (1, 0, 0, 0, 1, 0)


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


def volume_of(values: np.ndarray, colour: bool = False) -> sitk.Image:
    return sitk.GetImageFromArray(values, isVector=colour)
