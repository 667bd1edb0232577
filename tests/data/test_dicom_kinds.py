"""Which DICOM objects are axial CT slices, and by which word each other kind is left out and kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from frostline.data.images import (
    LeftOut,
    NoImage,
    Reading,
    read_slice,
)
from tests.data.image_files import HU, PET, RAMP, SECONDARY_CAPTURE, facts, fails, read, windowed, write_dicom


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"PixelData": None}, "without pixel data: CT Image Storage"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PixelData": HU.tobytes() * 3}, "RGB"),
        ({"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PixelData": HU.tobytes() * 3}, "shape"),
        ({"PixelData": HU.tobytes()[:-4]}, "less than"),
        ({"Rows": 0}, "0 pixels"),
        ({"Rows": 65535, "Columns": 65535}, "expected 1 to"),
        ({"BitsAllocated": None}, "damaged"),
        ({"BitsStored": 12}, "High Bit 15"),
        ({"BitsStored": 12, "HighBit": 15}, "High Bit 15"),
        ({"BitsStored": 17, "HighBit": 16}, "Bits Stored 17"),
        ({"RescaleSlope": "0"}, "Rescale Slope 0"),
        ({"RescaleSlope": "-1"}, "Rescale Slope -1"),
        ({"RescaleSlope": "1e6"}, "Rescale Slope 1e.06, which no CT has"),
        ({"RescaleIntercept": "32767"}, "no negative value"),
        ({"RescaleIntercept": "30000"}, "no negative value"),
        ({"RescaleIntercept": "-20000"}, "most of them nothing"),
        ({"RescaleType": "US"}, "not HU"),
        ({"RescaleType": "MGML"}, "not HU"),
    ],
)
def test_a_dicom_that_holds_no_ct_slice_is_refused(tmp_path: Path, elements: dict[str, Any], reason: str) -> None:
    fails(write_dicom(tmp_path / "a.dcm", HU, **elements), reason)


@pytest.mark.parametrize(
    ("elements", "kind"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER", "CT_SOM5 TOP"]}, "localizer"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCOUT"]}, "localizer"),
        ({"ImageType": ["ORIGINAL", "PRIMARY"], "SeriesDescription": "Topogram  0.6"}, "localizer"),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]}, "derived"),
        ({"ImageType": ["DERIVED", "SECONDARY", "REFORMATTED"]}, "derived"),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL"], "LossyImageCompression": "01"}, "derived"),
        ({"ImageType": ["ORIGINAL", "SECONDARY", "AXIAL"]}, "secondary"),
        ({"SOPClassUID": SECONDARY_CAPTURE}, "secondary"),
        ({"SOPClassUID": SECONDARY_CAPTURE, "ImageType": ["DERIVED", "SECONDARY"]}, "secondary"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "sagittal"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "coronal"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0.7071, -0.7071]}, "oblique"),
        (PET, "PT"),
        (PET | {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "PT"),
        ({"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, "MR"),
        ({"Modality": "MR"}, "MR"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, "MR"),
        ({"Modality": "CR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1"}, "CR"),
        ({"Modality": "NM", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.20"}, "NM"),
    ],
)
def test_the_kind_of_what_is_left_out_is_the_word_that_keeps_it(
    tmp_path: Path, elements: dict[str, Any], kind: str
) -> None:
    path = write_dicom(tmp_path / "a.dcm", HU, **elements)
    with pytest.raises(LeftOut, match=rf"data\.dicom_keep=\[{kind}\]") as raised:
        read(path)
    assert raised.value.kind == kind
    also = ("localizer",) if kind == "PT" else ()
    np.testing.assert_allclose(read(path, dicom_keep=(kind, *also)), windowed(HU), atol=1e-6)


@pytest.mark.parametrize(
    "elements",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
        {"ImageOrientationPatient": [-1, 0, 0, 0, -1, 0]},
        {"ImageOrientationPatient": [1, 0, 0, 0, 0.8660, -0.5]},
        {"ImageOrientationPatient": [0] * 6},
        {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "SeriesDescription": "topogram and chest"},
        {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"], "LossyImageCompression": "01"},
        {"Modality": None},
        {"SOPClassUID": "1.3.12.2.1107.5.99.1"},
    ],
)
def test_axial_ct_is_read(tmp_path: Path, elements: dict[str, Any]) -> None:
    path = write_dicom(tmp_path / "a.dcm", HU, **elements)
    np.testing.assert_allclose(read(path), windowed(HU), atol=1e-6)
    assert facts(path).kind == "DICOM CT"


def test_other_modalities_are_windowed_in_their_own_units_when_kept(tmp_path: Path) -> None:
    stored = (RAMP.astype(np.uint16) * 40).reshape(16, 16)
    path = write_dicom(tmp_path / "a.dcm", stored, **PET, RescaleSlope="0.5")
    slice_ = read_slice(path, Reading(2500, 5000, dicom_keep=("PT",)))
    np.testing.assert_allclose(slice_.grey, np.clip(stored * 0.5 / 5000, 0, 1), atol=1e-6)
    assert (slice_.facts.kind, slice_.facts.low, slice_.facts.high) == ("DICOM PT", 0, 5100)
    assert not slice_.facts.is_hu
    inverted = write_dicom(
        tmp_path / "b.dcm", stored, **PET, RescaleSlope="0.5", PhotometricInterpretation="MONOCHROME1"
    )
    np.testing.assert_allclose(
        read_slice(inverted, Reading(2500, 5000, dicom_keep=("PT",))).grey, 1 - slice_.grey, atol=1e-6
    )
    fails(write_dicom(path, stored + np.uint16(400), **PET), "data.window_center", dicom_keep=("PT",))


@pytest.mark.parametrize("colour", [False, True])
def test_a_kept_screen_shot_is_grey_as_it_is(tmp_path: Path, colour: bool) -> None:
    elements = {"SOPClassUID": SECONDARY_CAPTURE, "RescaleSlope": None, "RescaleIntercept": None}
    if colour:
        rgb = np.repeat(RAMP[..., None], 3, 2).tobytes()
        elements |= {
            "SamplesPerPixel": 3,
            "PlanarConfiguration": 0,
            "PhotometricInterpretation": "RGB",
            "PixelData": rgb,
        }
    path = write_dicom(tmp_path / "a.dcm", RAMP, **elements)
    np.testing.assert_allclose(read(path, dicom_keep=("secondary",)), RAMP / 255, atol=1e-6)
    assert not facts(path, dicom_keep=("secondary",)).is_hu


@pytest.mark.parametrize(
    ("elements", "kind"),
    [
        ({"NumberOfFrames": 2, "PixelData": HU.tobytes() * 2}, "multi-frame DICOM"),
        ({"SharedFunctionalGroupsSequence": [Dataset()]}, "enhanced DICOM"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2.1"}, "enhanced DICOM"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2.2"}, "enhanced DICOM"),
    ],
)
def test_volumes_are_left_out_with_the_command_that_splits_them(
    tmp_path: Path, elements: dict[str, Any], kind: str
) -> None:
    with pytest.raises(LeftOut, match="frostline slices FILE FOLDER") as raised:
        read(write_dicom(tmp_path / "a.dcm", HU, **elements))
    assert raised.value.kind == kind


@pytest.mark.parametrize(
    ("elements", "kind"),
    [
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11", "Modality": "SR"}, "DICOM structured report"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.67"}, "DICOM structured report"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4", "Modality": "SEG"}, "DICOM segmentation"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.3", "Modality": "RTSTRUCT"}, "DICOM RT structure set"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.2"}, "DICOM RT Dose"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.11.1"}, "DICOM presentation state"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1"}, "DICOM Encapsulated PDF"),
        ({"SOPClassUID": "1.2.840.10008.1.3.10"}, "DICOMDIR"),
        ({"SOPClassUID": "1.3.12.2.1107.5.9.1", "PixelData": None}, "DICOM of a private kind"),
    ],
)
@pytest.mark.parametrize("name", ["a.dcm", "DICOMDIR"])
def test_dicom_that_is_no_image_says_what_it_is(tmp_path: Path, elements: dict[str, Any], kind: str, name: str) -> None:
    with pytest.raises(NoImage) as raised:
        read(write_dicom(tmp_path / name, HU, **elements))
    assert str(raised.value) == kind
