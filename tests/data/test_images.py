"""What `read_image` promises: one scale for every format, and one exception for every faulty file."""

import contextlib
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGLosslessSV1, RLELossless, generate_uid

from frostline.data.images import EXTENSIONS, MAX_PIXELS, UnreadableImage, is_image_file, read_image

CENTER, WIDTH = -600.0, 1500.0  # lung window, HU
RAMP = np.arange(0, 256, dtype=np.uint8).reshape(8, 32)
HU = np.linspace(-2000, 1000, 12).round().astype(np.int16).reshape(3, 4)


def read(path: Path) -> np.ndarray:
    grey = read_image(path, CENTER, WIDTH)
    assert grey.dtype == np.float32
    assert grey.ndim == 2
    assert 0 <= grey.min() <= grey.max() <= 1
    return grey


def windowed(hu: np.ndarray) -> np.ndarray:
    return np.clip((hu - CENTER) / WIDTH + 0.5, 0, 1)


def write_tiff(
    path: Path, data: bytes, shape: tuple[int, int], bits: int, sample_format: int, photometric: int
) -> Path:
    """Uncompressed grey little-endian TIFF of one strip, for the pixel types that Pillow does not write."""
    data += b"\0" * (len(data) % 2)
    height, width = shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: height, 279: len(data)}
    entries = [struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value) for tag, value in tags.items()]
    entries.append(struct.pack("<HHII", 339, 3, 1, sample_format))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", 0)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory)
    return path


def write_png(path: Path, width: int, height: int, bits: int, colour: int, rows: bytes) -> Path:
    """PNG from raw rows (each with its filter byte), for what Pillow does not write: 16-bit colour, false sizes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return path


def ct_dataset(stored: np.ndarray, **elements: Any) -> FileDataset:
    """A small CT slice; `elements` override, and None removes."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    bits = stored.dtype.itemsize * 8
    fields = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "Modality": "CT",
        "Rows": stored.shape[-2],
        "Columns": stored.shape[-1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "RescaleSlope": "1",
        "RescaleIntercept": "0",
        "PixelData": stored.tobytes(),
    }
    for name, value in (fields | elements).items():
        if value is not None:
            setattr(data, name, value)
    return data


def write_dicom(path: Path, stored: np.ndarray, **elements: Any) -> Path:
    ct_dataset(stored, **elements).save_as(path, enforce_file_format=True)
    return path


def fails(path: Path, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason) as raised:
        read(path)
    assert str(raised.value).isprintable()
    assert path.name not in str(raised.value)


# Pictures


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".bmp", ".PNG"])
def test_8_bit_grey_is_divided_by_255(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(RAMP).save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read(tmp_path / f"a{suffix}"), RAMP / np.float32(255))


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_jpeg_is_read_up_to_its_own_loss(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(RAMP).save(tmp_path / f"a{suffix}", quality=100)
    np.testing.assert_allclose(read(tmp_path / f"a{suffix}"), RAMP / 255, atol=0.02)


@pytest.mark.parametrize(
    "kind",
    ["RGB.png", "RGBA.png", "LA.png", "P.png", "RGB.bmp", "P.bmp", "RGB.tif", "RGBA.tif", "CMYK.tif", "YCbCr.tif"],
)
def test_grey_stored_in_any_colour_mode_keeps_its_values(tmp_path: Path, kind: str) -> None:
    mode = kind.split(".")[0]
    if kind == "YCbCr.tif" and int(PIL.__version__.split(".")[0]) < 13:
        pytest.skip("Pillow 12.3 cannot read the YCbCr TIFF that it writes")
    Image.fromarray(RAMP).convert("RGB" if mode in ("CMYK", "YCbCr") else mode).convert(mode).save(tmp_path / kind)
    np.testing.assert_allclose(read(tmp_path / kind), RAMP / 255, atol=1.5 / 255)


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_colour_jpeg_becomes_grey(tmp_path: Path, mode: str) -> None:
    Image.fromarray(RAMP).convert("RGB").convert(mode).save(tmp_path / "a.jpg", quality=100)
    np.testing.assert_allclose(read(tmp_path / "a.jpg"), RAMP / 255, atol=0.02)


def test_colour_becomes_itu_r_601_luminance(tmp_path: Path) -> None:
    Image.fromarray(np.eye(3, dtype=np.uint8)[None] * np.uint8(255)).save(tmp_path / "a.png")
    np.testing.assert_allclose(read(tmp_path / "a.png"), [[0.299, 0.587, 0.114]], atol=1 / 255)


def test_transparent_pixels_keep_their_grey(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([RAMP, np.zeros_like(RAMP)]), "LA").save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png"), RAMP / np.float32(255))


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_a_transparent_colour_changes_nothing(tmp_path: Path, mode: str) -> None:
    transparent = (7, 7, 7) if mode == "RGB" else 7
    Image.fromarray(RAMP).convert(mode).save(tmp_path / "a.png", transparency=transparent)
    np.testing.assert_array_equal(read(tmp_path / "a.png"), RAMP / np.float32(255))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_1_bit_is_black_and_white(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(RAMP > 100).save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read(tmp_path / f"a{suffix}"), RAMP > 100)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_is_divided_by_65535_whatever_range_the_image_uses(tmp_path: Path, suffix: str) -> None:
    stored = np.array([[0, 1, 4095], [20000, 40000, 65535]], np.uint16)
    for part in (stored, stored[:1]):
        Image.fromarray(part).save(tmp_path / f"a{suffix}")
        np.testing.assert_allclose(read(tmp_path / f"a{suffix}"), part / 65535, rtol=1e-6)


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_colour_png_is_read_at_8_bits(tmp_path: Path, colour: int, channels: int) -> None:
    pixels = np.full((2, 3, channels), 0x8123, ">u2")
    path = write_png(tmp_path / "a.png", 3, 2, 16, colour, b"".join(b"\0" + row.tobytes() for row in pixels))
    np.testing.assert_allclose(read(path), 0x8123 / 65535, atol=1 / 255)


def test_12_bit_tiff_is_divided_by_4095(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", bytes.fromhex("000fff"), (1, 2), bits=12, sample_format=1, photometric=1)
    np.testing.assert_array_equal(read(path), [[0, 1]])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_is_zero_tiff_is_inverted(tmp_path: Path, dtype: type[np.unsignedinteger[Any]]) -> None:
    white = np.iinfo(dtype).max
    stored = np.array([[0, white // 5, white]], dtype)
    path = write_tiff(tmp_path / "a.tif", stored.tobytes(), (1, 3), white.bit_length(), sample_format=1, photometric=0)
    np.testing.assert_allclose(read(path), [[1, 0.8, 0]], atol=1e-6)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
def test_signed_and_float_tiff_in_hounsfield_units_go_through_the_window(tmp_path: Path, dtype: type) -> None:
    Image.fromarray(HU.astype(dtype)).save(tmp_path / "a.tif")
    np.testing.assert_allclose(read(tmp_path / "a.tif"), windowed(HU), atol=1e-6)


def test_float_tiff_within_0_and_1_is_kept(tmp_path: Path) -> None:
    grey = np.array([[0, 0.25, 1]], np.float32)
    Image.fromarray(grey).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), grey)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
def test_signed_and_float_tiff_without_negative_values_are_not_taken_for_hounsfield_units(
    tmp_path: Path, dtype: type
) -> None:
    Image.fromarray((HU + 2000).astype(dtype)).save(tmp_path / "a.tif")
    fails(tmp_path / "a.tif", "no negative value")


@pytest.mark.parametrize(("dtype", "sample_format"), [(np.int8, 2), (np.uint32, 1)])
def test_pixel_types_that_pillow_misreads_are_refused(tmp_path: Path, dtype: type, sample_format: int) -> None:
    stored = np.array([[1, 2**31 if dtype is np.uint32 else -1]]).astype(dtype)
    path = write_tiff(tmp_path / "a.tif", stored.tobytes(), (1, 2), stored.itemsize * 8, sample_format, photometric=1)
    fails(path, "not supported")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_pixels_are_refused(tmp_path: Path, bad: float) -> None:
    Image.fromarray(np.array([[-1000, bad, 0.5]], np.float32)).save(tmp_path / "a.tif")
    fails(tmp_path / "a.tif", "NaN or infinite")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_exif_orientation_is_applied_once(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[274] = 6  # shown turned clockwise by 90 degrees
    Image.fromarray(RAMP).save(tmp_path / f"a{suffix}", exif=exif, **({"quality": 100} if suffix == ".jpg" else {}))
    np.testing.assert_allclose(read(tmp_path / f"a{suffix}"), np.rot90(RAMP, -1) / 255, atol=0.02)


def test_corrupt_exif_does_not_hide_the_image(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    assert read(tmp_path / "a.jpg").shape == RAMP.shape


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_several_frames_are_refused_and_counted(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(RAMP + np.uint8(i)) for i in range(3)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
    fails(tmp_path / f"a{suffix}", "3 frames")


# DICOM


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


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", HU, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_allclose(read(path), 1 - windowed(HU), atol=1e-6)


def test_dicom_without_rescale_is_hounsfield_only_if_it_has_negative_values(tmp_path: Path) -> None:
    absent = {"RescaleSlope": None, "RescaleIntercept": None}
    np.testing.assert_allclose(read(write_dicom(tmp_path / "a.dcm", HU, **absent)), windowed(HU), atol=1e-6)
    fails(write_dicom(tmp_path / "b.dcm", RAMP, **absent), "no negative value")


def test_rle_compressed_dicom_is_read(tmp_path: Path) -> None:
    data = ct_dataset(HU)
    data.compress(RLELossless)
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_allclose(read(tmp_path / "a.dcm"), windowed(HU), atol=1e-6)


def test_a_transfer_syntax_without_decoder_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pydicom.pixels.decoders.base.JPEGLosslessSV1Decoder._available", {})
    data = ct_dataset(HU)
    data.compress(RLELossless)
    data.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    fails(tmp_path / "a.dcm", "JPEG Lossless.*pylibjpeg")


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"PixelData": None}, "without pixel data: CT Image Storage"),
        ({"NumberOfFrames": 2, "PixelData": HU.tobytes() * 2}, "2 frames"),
        ({"SharedFunctionalGroupsSequence": [Dataset()]}, "enhanced"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PixelData": HU.tobytes() * 3}, "RGB"),
        ({"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PixelData": HU.tobytes() * 3}, "shape"),
        ({"PixelData": HU.tobytes()[:-4]}, "less than"),
        ({"Rows": 0}, "0 pixels"),
        ({"Rows": 65535, "Columns": 65535}, "expected 1 to"),
        ({"BitsAllocated": None}, "damaged"),
    ],
)
def test_a_dicom_that_holds_no_ct_slice_is_refused(tmp_path: Path, elements: dict[str, Any], reason: str) -> None:
    fails(write_dicom(tmp_path / "a.dcm", HU, **elements), reason)


@pytest.mark.parametrize("name", ["IM0001", "1.2.840.113619.2.55", "a.dicom"])
def test_dicom_is_found_by_its_magic_when_there_is_no_suffix(tmp_path: Path, name: str) -> None:
    path = write_dicom(tmp_path / name, HU)
    assert is_image_file(path)
    assert read(path).shape == HU.shape


# Faulty files


@pytest.mark.parametrize("suffix", sorted(EXTENSIONS))
@pytest.mark.parametrize(("data", "reason"), [(b"", "empty"), (b"no image\n" * 50, "not a")])
def test_empty_and_foreign_files_are_unreadable(tmp_path: Path, suffix: str, data: bytes, reason: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(data)
    fails(tmp_path / f"a{suffix}", reason)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp"])
def test_half_a_image_is_unreadable(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    fails(path, "damaged")


@pytest.mark.parametrize("side", [8193, 12000, 60000])
def test_a_file_that_claims_a_huge_image_is_refused_without_a_warning(
    tmp_path: Path, side: int, recwarn: pytest.WarningsRecorder
) -> None:
    assert side**2 > MAX_PIXELS
    fails(write_png(tmp_path / "a.png", side, side, 8, 0, b"\0"), "pixels")
    assert not recwarn


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    fails(tmp_path / "a.png", "No such file")


def test_other_formats_of_pillow_stay_closed(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "a.gif")
    fails((tmp_path / "a.gif").rename(tmp_path / "a.png"), "not a")


@pytest.mark.parametrize("window", [(0.0, 0.0), (0.0, -1.0), (np.nan, 1.0), (0.0, np.inf)])
def test_a_faulty_window_is_the_callers_error(tmp_path: Path, window: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="window"):
        read_image(tmp_path / "a.png", *window)


@pytest.mark.parametrize("write", [write_dicom, lambda path, hu: Image.fromarray(hu).save(path)])
def test_reading_leaves_the_warning_filters_alone(tmp_path: Path, write: Callable[[Path, np.ndarray], Any]) -> None:
    path = tmp_path / ("a.dcm" if write is write_dicom else "a.tif")
    write(path, HU)
    before = list(warnings.filters)
    read(path)
    assert warnings.filters == before


def test_a_dicom_with_padding_behind_its_pixels_prints_nothing(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_dicom(tmp_path / "a.dcm", HU, PixelData=HU.tobytes() + b"\0" * 6)
    np.testing.assert_allclose(read(path), windowed(HU), atol=1e-6)
    assert not recwarn
    assert capfd.readouterr() == ("", "")


def test_the_reason_stays_one_printable_line_when_it_quotes_the_file(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", HU)
    path.write_bytes(path.read_bytes().replace(b"MONOCHROME2", b"MONO\n\x00\x1b[31m"))
    fails(path, "MONO .*31m")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(suffix=st.sampled_from(sorted(EXTENSIONS)), data=st.binary(max_size=300), head=st.data())
def test_random_bytes_give_a_image_or_unreadable(tmp_path: Path, suffix: str, data: bytes, head: st.DataObject) -> None:
    magics = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"II*\0\x08\0\0\0", b"BM", b"\0" * 128 + b"DICM"]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(head.draw(st.sampled_from(magics)) + data)
    with contextlib.suppress(UnreadableImage):
        read(path)


@pytest.mark.parametrize(
    ("name", "expected"), [("a.JPG", True), ("a.txt", False), ("plain", False), ("a.nii.gz", False)]
)
def test_files_are_taken_as_images_by_suffix(tmp_path: Path, name: str, expected: bool) -> None:
    (tmp_path / name).write_bytes(b"text")
    assert is_image_file(tmp_path / name) is expected


def test_a_folder_is_no_image_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    assert not is_image_file(tmp_path / "a.png")
