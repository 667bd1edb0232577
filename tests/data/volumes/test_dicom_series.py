"""DICOM series: what is a slice of the series, in which order, and what is said of the rest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    EnhancedCTImageStorage,
    MRImageStorage,
    SecondaryCaptureImageStorage,
)

from frostline.data.volumes.findings import Choice
from frostline.data.volumes.write import write_slices
from tests.data.volumes.scans import (
    read,
    refusal,
    table,
    write_dicom,
    write_series,
)


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
