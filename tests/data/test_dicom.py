"""What `read_slice` promises of DICOM: axial CT slices in HU, other objects by their kind, and no one's name."""

import contextlib
import logging
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from frostline.data.images import (
    LeftOut,
    NoImage,
    Reading,
    UnreadableImage,
    is_image_file,
    read_slice,
)
from tests.data.image_files import (
    CENTER,
    HU,
    RAMP,
    SECONDARY_CAPTURE,
    WIDTH,
    ct,
    ct_dataset,
    facts,
    fails,
    read,
    windowed,
    write_dicom,
)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
@pytest.mark.parametrize("slope", [1.0, 0.5])
def test_dicom_is_rescaled_to_hounsfield_units_and_windowed(tmp_path: Path, dtype: type, slope: float) -> None:
    intercept = -2000 if dtype is np.uint16 else 24
    stored = ((HU - intercept) / slope).astype(dtype)
    path = write_dicom(tmp_path / "a.dcm", stored, RescaleSlope=slope, RescaleIntercept=intercept)
    np.testing.assert_allclose(read(path), windowed(stored * slope + intercept), atol=1e-6)


def test_the_window_maps_its_ends_to_0_and_1_and_its_centre_to_one_half(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", np.array([[-3000, -1350, -600, 150, 3000]], np.int16))
    np.testing.assert_allclose(read(path), [[0, 0, 0.5, 1, 1]])


def test_unused_high_bits_of_a_12_bit_dicom_are_ignored(tmp_path: Path) -> None:
    stored = np.array([[0, 1000, 4095]], np.uint16)
    bits = {"BitsStored": 12, "HighBit": 11, "RescaleIntercept": "-1024"}
    path = write_dicom(tmp_path / "a.dcm", stored | np.uint16(0xF000), **bits)
    np.testing.assert_allclose(read(path), windowed(stored.astype(float) - 1024), atol=1e-6)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_hu_keep_their_polarity_whatever_the_photometric_interpretation(tmp_path: Path, photometric: str) -> None:
    path = write_dicom(tmp_path / "a.dcm", HU, PhotometricInterpretation=photometric)
    np.testing.assert_allclose(read(path), windowed(HU), atol=1e-6)


def test_dicom_without_rescale_is_hounsfield_only_if_it_has_negative_values(tmp_path: Path) -> None:
    absent = {"RescaleSlope": None, "RescaleIntercept": None}
    np.testing.assert_allclose(read(write_dicom(tmp_path / "a.dcm", HU, **absent)), windowed(HU), atol=1e-6)
    fails(write_dicom(tmp_path / "b.dcm", RAMP, **absent), "no negative value")


@pytest.mark.parametrize("name", ["IM0001", "1.2.840.113619.2.55", "a.dicom"])
def test_dicom_is_found_by_its_magic_when_there_is_no_suffix(tmp_path: Path, name: str) -> None:
    path = write_dicom(tmp_path / name, HU)
    assert is_image_file(path)
    assert read(path).shape == HU.shape


@pytest.mark.parametrize("slope", ["1", "2", "0.5"])
@pytest.mark.parametrize("intercept", ["-1024", "-2048", "-8192"])
def test_real_rescales_of_unsigned_pixels_are_read(tmp_path: Path, slope: str, intercept: str) -> None:
    stored = ((ct() - float(intercept)) / float(slope)).round()
    path = write_dicom(
        tmp_path / "a.dcm", stored.astype(np.uint16), RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="HU"
    )
    np.testing.assert_allclose(read(path), windowed(stored * float(slope) + float(intercept)), atol=1e-6)
    assert facts(path).is_hu


@pytest.mark.parametrize("rescale", [{}, {"RescaleSlope": None, "RescaleIntercept": None}, {"RescaleIntercept": None}])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_a_dropped_offset_is_found(tmp_path: Path, rescale: dict[str, Any], dtype: type) -> None:
    fails(write_dicom(tmp_path / "a.dcm", (ct() + 1024).astype(dtype), **rescale), "offset .often -1024. was probably")


def test_signed_pixels_declared_unsigned_are_found(tmp_path: Path) -> None:
    fails(write_dicom(tmp_path / "a.dcm", ct().astype(np.int16).view(np.uint16)), "declared unsigned")
    stored = (ct() + 1024).astype(np.uint16)
    stored[:3] = 63536
    fails(write_dicom(tmp_path / "a.dcm", stored, RescaleIntercept="-1024"), "declared unsigned")


@pytest.mark.parametrize(
    "hu",
    [
        np.random.default_rng(0).normal(-1000, 30, (64, 64)),
        np.full((64, 64), -1024),
        np.where(np.eye(64), 30710, ct()),
        np.where(np.hypot(*np.mgrid[-32:32, -32:32]) > 31, -3024, ct()),
        np.where(np.hypot(*np.mgrid[-32:32, -32:32]) > 20, -32768, ct()),
        np.random.default_rng(0).normal(40, 30, (64, 64)),
        np.random.default_rng(0).normal(-600, 250, (64, 64)).clip(-1024, None),
        ct() + np.random.default_rng(1).normal(0, 200, (64, 64)),
    ],
    ids=["air", "clipped air", "metal", "padding", "wide padding", "phantom", "lung", "low dose"],
)
def test_no_real_ct_is_refused(tmp_path: Path, hu: np.ndarray) -> None:
    read(write_dicom(tmp_path / "a.dcm", hu.astype(np.int16)))


@pytest.mark.parametrize("vr", ["US", "SS"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_declared_padding_is_black(tmp_path: Path, dtype: type, vr: str) -> None:
    """63536 is -2000 in signed pixels; the value may have either VR, whatever the pixels have."""
    offset = 1024 if dtype is np.uint16 else 0
    hu = np.where(np.hypot(*np.mgrid[-32:32, -32:32]) > 31, -2000, ct())
    stored = np.where(hu == -2000, -2000, hu + offset).astype(np.int16).view(dtype)
    data = ct_dataset(stored, RescaleIntercept=-offset)
    data.add_new("PixelPaddingValue", vr, 63536 if vr == "US" else -2000)
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    grey = read(tmp_path / "a.dcm")
    assert not grey[hu == -2000].any()
    np.testing.assert_allclose(grey[hu != -2000], windowed(hu[hu != -2000]), atol=1e-6)
    assert facts(tmp_path / "a.dcm").low == hu[hu != -2000].min()


def test_a_range_of_padding_and_padding_above_the_stored_bits_are_black(tmp_path: Path) -> None:
    stored = (ct() + 1024).astype(np.uint16)
    stored[0], stored[1] = 4000, 4095
    limits = {"PixelPaddingValue": 4000, "PixelPaddingRangeLimit": 4095, "RescaleIntercept": "-1024"}
    assert not read(write_dicom(tmp_path / "a.dcm", stored, **limits))[:2].any()
    stored[:2] = 63536
    bits = {"PixelPaddingValue": 63536, "RescaleIntercept": "-1024", "BitsStored": 12, "HighBit": 11}
    assert not read(write_dicom(tmp_path / "a.dcm", stored, **bits))[:2].any()
    empty = write_dicom(tmp_path / "a.dcm", stored * 0, PixelPaddingValue=0, RescaleIntercept="-1024")
    with pytest.raises(LeftOut, match="empty: every pixel is padding"):
        read_slice(empty, Reading())


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("name", ["a.dcm", "IM0001", "a.ima", "a.img", "1.2.3"])
def test_a_data_set_without_preamble_is_read(tmp_path: Path, syntax: UID, name: str) -> None:
    data = ct_dataset(HU)
    if syntax == ExplicitVRBigEndian:
        data.PixelData = HU.astype(">i2").tobytes()
    implicit, little = syntax.is_implicit_VR, syntax.is_little_endian
    bare = Dataset()
    bare.update({element.tag: element for element in data})
    bare.save_as(tmp_path / name, implicit_vr=implicit, little_endian=little)
    assert (tmp_path / name).read_bytes()[:2] in (b"\x08\0", b"\0\x08")
    assert is_image_file(tmp_path / name)
    np.testing.assert_allclose(read(tmp_path / name), windowed(HU), atol=1e-6)


@pytest.mark.parametrize("cut", [128, 132])
def test_a_file_meta_group_without_preamble_is_read(tmp_path: Path, cut: int) -> None:
    path = write_dicom(tmp_path / "a.dcm", HU)
    path.write_bytes(path.read_bytes()[cut:])
    np.testing.assert_allclose(read(path), windowed(HU), atol=1e-6)


@pytest.mark.parametrize("remove", ["Rows", "PixelData", "SOPClassUID"])
def test_without_preamble_it_must_really_be_dicom(tmp_path: Path, remove: str) -> None:
    data = ct_dataset(HU, SOPClassUID="1.2.840.10008.9.9", **({remove: None} if remove != "SOPClassUID" else {}))
    if remove == "SOPClassUID":
        del data.SOPClassUID
    bare = Dataset()
    bare.update({element.tag: element for element in data})
    bare.save_as(tmp_path / "a.dcm", implicit_vr=True, little_endian=True)
    fails(tmp_path / "a.dcm", "not a DICOM file")


def test_a_missing_transfer_syntax_is_implied(tmp_path: Path) -> None:
    data = ct_dataset(HU)
    del data.file_meta.TransferSyntaxUID
    data.save_as(tmp_path / "a.dcm", implicit_vr=False, little_endian=True, enforce_file_format=False)
    np.testing.assert_allclose(read(tmp_path / "a.dcm"), windowed(HU), atol=1e-6)


PERSON = {
    "PatientID": "Q7731-secret",
    "PatientName": "Roe^Secret",
    "StudyInstanceUID": "1.2.3.4",
    "SeriesInstanceUID": "1.2.5",
}


def test_identifiers_are_hashes_that_tell_patients_apart(tmp_path: Path) -> None:
    def of(**elements: Any) -> tuple[str | None, ...]:
        found = facts(write_dicom(tmp_path / "a.dcm", HU, **(PERSON | elements)))
        return found.patient, found.study, found.series

    first = of()
    assert all(len(hashed or "") == 16 and int(hashed or "", 16) for hashed in first)
    assert len(set(first)) == 3
    assert of() == first
    assert of(PatientID="other")[1:] == first[1:]
    assert of(IssuerOfPatientID="A") == first  # an issuer that stands in some files only must not part them
    assert len({of()[0], of(PatientID="other")[0]}) == 2
    assert [of(PatientID=nobody)[0] for nobody in ("", "ANON", "unknown", "0000")] == [None] * 4
    assert of(PatientID="  ", StudyInstanceUID="", SeriesInstanceUID=None) == (None, None, None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Q7731-secret", b"Q7731\xff\xfe\n\0 et"),
        (b"IS", b"DS"),
        (b"DS", b"IS"),
        (b"CS", b"US"),
        (b"LO", b"DS"),
        (b"UI", b"FD"),
        (b"PN", b"SQ"),
        (b"LO", b"DA"),
        (b"US", b"UI"),
    ],
)
def test_no_identifier_leaves_a_damaged_file(
    tmp_path: Path, old: bytes, new: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_dicom(tmp_path / "a.dcm", HU, **PERSON, RescaleSlope="1", SliceLocation="12", InstanceNumber=3)
    content = path.read_bytes()
    path.write_bytes(content[:200] + content[200:].replace(old, new))
    told = ""
    try:
        told = str(read_slice(path, Reading(CENTER, WIDTH)).facts)
    except (UnreadableImage, LeftOut, NoImage) as error:
        told = "".join(traceback.format_exception(error)) + repr(error.__cause__) + repr(error.__context__)
    for secret in ("Q7731", "Secret", "1.2.3.4"):
        assert secret not in told + caplog.text + "".join(capfd.readouterr())


def test_reading_prints_and_warns_nothing(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_dicom(tmp_path / "a.dcm", HU, PixelData=HU.tobytes() + b"\0" * 6)
    np.testing.assert_allclose(read(path), windowed(HU), atol=1e-6)
    assert not recwarn
    assert capfd.readouterr() == ("", "")
    assert not logging.getLogger("pydicom").disabled


def test_the_reason_stays_one_printable_line_when_it_quotes_the_file(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", HU)
    path.write_bytes(path.read_bytes().replace(b"MONOCHROME2", b"MONO\n\x00\x1b[31m"))
    fails(path, "MONO .*31m")


HEADER = {
    "Modality": ["CT", "PT", "", None, "x" * 30],
    "SOPClassUID": [CTImageStorage, SECONDARY_CAPTURE, "1.2", None],
    "ImageType": [["ORIGINAL", "PRIMARY", "AXIAL"], ["DERIVED"], "", None],
    "ImageOrientationPatient": [[1, 0, 0, 0, 1, 0], [0] * 6, [1, 2], None],
    "Rows": [64, 0, 1, 65535, None],
    "Columns": [64, 32, None],
    "BitsAllocated": [8, 16, 32, 0, 1, None],
    "BitsStored": [8, 12, 16, 0, None],
    "HighBit": [7, 11, 15, None],
    "PixelRepresentation": [0, 1, 7, None],
    "SamplesPerPixel": [1, 3, 0, None],
    "PhotometricInterpretation": ["MONOCHROME2", "MONOCHROME1", "RGB", "", None],
    "RescaleSlope": ["1", "0", "-1", "1e30", "1e-30", "", None],
    "RescaleIntercept": ["0", "-1024", "1e300", "", None],
    "RescaleType": ["HU", "US", "", None],
    "NumberOfFrames": ["1", "0", "-1", "2", "", None],
    "PixelPaddingValue": [0, 63536, None],
    "PixelPaddingRangeLimit": [0, 65535, None],
}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    draw=st.data(),
    changed=st.lists(st.sampled_from(sorted(HEADER)), max_size=5, unique=True),
    keep=st.sampled_from([(), ("PT", "OT", "derived", "secondary")]),
)
def test_a_fuzzed_header_gives_a_slice_or_one_of_three_reasons(
    tmp_path: Path, draw: st.DataObject, changed: list[str], keep: tuple[str, ...]
) -> None:
    elements = {name: draw.draw(st.sampled_from(HEADER[name]), label=name) for name in changed}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of writing what is no DICOM
        try:
            stored = (ct() + 1024).astype(np.uint16)
            write_dicom(tmp_path / "a.dcm", stored, **({"RescaleIntercept": "-1024"} | elements))
        except (OSError, AttributeError):  # pydicom cannot write it
            reject()
    with warnings.catch_warnings(), contextlib.suppress(UnreadableImage, LeftOut, NoImage):
        warnings.simplefilter("error")
        grey = read(tmp_path / "a.dcm", dicom_keep=keep)
        assert np.ptp(grey) > 0


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data(), cut=st.sampled_from([0, 128, 132]))
def test_a_file_with_changed_bytes_gives_a_slice_or_one_of_three_reasons(
    tmp_path: Path, draw: st.DataObject, cut: int
) -> None:
    data = bytearray(write_dicom(tmp_path / "a.dcm", ct().astype(np.int16), **PERSON).read_bytes()[cut:])
    for _ in range(draw.draw(st.integers(1, 6))):
        data[draw.draw(st.integers(0, 900))] = draw.draw(st.integers(0, 255))
    (tmp_path / "a.dcm").write_bytes(data[: draw.draw(st.sampled_from([None, 400, 3000]))])
    with warnings.catch_warnings(), contextlib.suppress(UnreadableImage, LeftOut, NoImage):
        warnings.simplefilter("error")
        read(tmp_path / "a.dcm")
