"""What `read_slice` promises of pictures: one scale for every format, and one exception for every faulty file."""

import contextlib
import gzip
import logging
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from frostline.data.images import (
    EXTENSIONS,
    MAX_PIXELS,
    ImageFacts,
    LeftOut,
    NoImage,
    Reading,
    UnreadableImage,
    is_image_file,
    read_slice,
)

CENTER, WIDTH = -600.0, 1500.0  # lung window, HU
RAMP = np.arange(0, 256, dtype=np.uint8).reshape(8, 32)
HU = np.linspace(-2000, 1000, 12).round().astype(np.int16).reshape(3, 4)


def read(path: Path, **reading: Any) -> np.ndarray:
    grey, _ = read_slice(path, Reading(CENTER, WIDTH, **reading))
    assert grey.dtype == np.float32
    assert grey.ndim == 2
    assert 0 <= grey.min() <= grey.max() <= 1
    return grey


def facts(path: Path, **reading: Any) -> ImageFacts:
    return read_slice(path, Reading(CENTER, WIDTH, **reading)).facts


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


def fails(path: Path, reason: str, **reading: Any) -> None:
    with pytest.raises(UnreadableImage, match=reason) as raised:
        read(path, **reading)
    assert str(raised.value).isprintable()
    assert path.name not in str(raised.value)


# Pictures


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".bmp", ".PNG"])
def test_8_bit_grey_is_divided_by_255(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(RAMP).save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read(tmp_path / f"a{suffix}"), RAMP / np.float32(255))


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".jpe", ".jfif", ".JPG"])
def test_jpeg_is_read_up_to_its_own_loss(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(RAMP).save(tmp_path / f"a{suffix}", "JPEG", quality=100)
    np.testing.assert_allclose(read(tmp_path / f"a{suffix}"), RAMP / 255, atol=0.02)


@pytest.mark.parametrize(
    "kind",
    [
        "RGB.webp",
        "RGB.png",
        "RGBA.png",
        "LA.png",
        "P.png",
        "RGB.bmp",
        "P.bmp",
        "RGB.tif",
        "RGBA.tif",
        "CMYK.tif",
        "YCbCr.tif",
    ],
)
def test_grey_stored_in_any_colour_mode_keeps_its_values(tmp_path: Path, kind: str) -> None:
    mode = kind.split(".")[0]
    if kind == "YCbCr.tif" and int(PIL.__version__.split(".")[0]) < 13:
        pytest.skip("Pillow 12.3 cannot read the YCbCr TIFF that it writes")
    picture = Image.fromarray(RAMP).convert("RGB" if mode in ("CMYK", "YCbCr") else mode).convert(mode)
    picture.save(tmp_path / kind, **({"lossless": True} if kind.endswith("webp") else {}))
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
    stored = np.array([[0, 1, 9000], [20000, 40000, 65535]], np.uint16)
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
    with pytest.raises(LeftOut, match="GIF: save it as PNG"):
        read((tmp_path / "a.gif").rename(tmp_path / "a.png"))


@pytest.mark.parametrize("window", [(0.0, 0.0), (0.0, -1.0), (np.nan, 1.0), (0.0, np.inf)])
def test_a_faulty_window_is_the_callers_error(tmp_path: Path, window: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="window"):
        read_slice(tmp_path / "a.png", Reading(*window))


def test_reading_leaves_warnings_and_logging_alone(tmp_path: Path) -> None:
    Image.fromarray(HU.astype(np.int32)).save(tmp_path / "a.tif")
    before = list(warnings.filters), logging.getLogger("pydicom").disabled
    read(tmp_path / "a.tif")
    assert (list(warnings.filters), logging.getLogger("pydicom").disabled) == before


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(suffix=st.sampled_from(sorted(EXTENSIONS)), data=st.binary(max_size=300), head=st.data())
def test_random_bytes_give_a_image_or_unreadable(tmp_path: Path, suffix: str, data: bytes, head: st.DataObject) -> None:
    magics = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"II*\0\x08\0\0\0", b"BM", b"\0" * 128 + b"DICM"]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(head.draw(st.sampled_from(magics)) + data)
    with contextlib.suppress(UnreadableImage, LeftOut, NoImage):
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


# What values mean


def ct(shape: tuple[int, int] = (64, 64)) -> np.ndarray:
    """HU of something like a slice: air around tissue around lungs, with noise."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    r = np.hypot(y / shape[0] - 0.5, x / shape[1] - 0.5)
    hu = np.where(r > 0.45, -1000.0, np.where(r > 0.25, 40, -850))
    return (hu + np.random.default_rng(0).normal(0, 15, shape)).round().clip(-1024, 3071)


def write_16_bit(path: Path, stored: np.ndarray, **text: str) -> Path:
    info = PngInfo()
    for key, value in text.items():
        info.add_text(key.replace("__", ":").replace("_", "-"), value)
    Image.fromarray(stored.astype(np.uint16)).save(path, **({"pnginfo": info} if path.suffix == ".png" else {}))
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (ct() + 1024, "almost black.*data.values=hu data.values_offset=1024.*scale"),
        ((ct() + 1024).clip(0, 1174), "data.values=hu data.values_offset=1024"),
        (ct() + 1030, "data.values_offset"),
        (RAMP * 16.0, "12-bit values.*scale"),
        (RAMP * 1.0, "scale"),
        (ct() + 32768, "data.values=hu data.values_offset=32768"),
        (
            np.where(np.hypot(*np.mgrid[-32:32, -32:32]) > 32, 0, ct() + 32768),
            "data.values=hu data.values_offset=32768",
        ),
        (ct() + 8192, "data.values=hu data.values_offset="),
    ],
)
def test_16_bit_files_that_use_little_of_their_range_say_which_option_mends_them(
    tmp_path: Path, suffix: str, stored: np.ndarray, reason: str
) -> None:
    fails(write_16_bit(tmp_path / f"a{suffix}", stored), reason)
    fails(tmp_path / f"a{suffix}", reason, values="grey")


def test_a_little_metal_does_not_hide_12_bit_values(tmp_path: Path) -> None:
    stored = ct((128, 128)) + 1024
    stored[0, :20] = 30000
    fails(write_16_bit(tmp_path / "a.png", stored), "offset=1024")


def test_12_bit_values_with_alpha_are_found_though_pillow_reads_8_bits(tmp_path: Path) -> None:
    pixels = np.dstack([(ct() + 1024), np.full((64, 64), 65535)]).astype(">u2")
    path = write_png(tmp_path / "a.png", 64, 64, 16, 4, b"".join(b"\0" + row.tobytes() for row in pixels))
    fails(path, "offset=1024")


@pytest.mark.parametrize("offset", [1024, 32768, 1100.0])
def test_hu_with_an_offset_go_through_the_window(tmp_path: Path, offset: float) -> None:
    path = write_16_bit(tmp_path / "a.png", ct() + offset)
    np.testing.assert_allclose(read(path, values="hu", offset=offset), windowed(ct()), atol=1e-6)
    assert facts(path, values="hu", offset=offset) == ImageFacts("PNG 16 bit", ct().min(), ct().max(), is_hu=True)


@pytest.mark.parametrize(("offset", "reason"), [(0, "offset=32768"), (1024, "offset=32768"), (60000, "offset")])
def test_a_wrong_offset_is_refused(tmp_path: Path, offset: float, reason: str) -> None:
    fails(write_16_bit(tmp_path / "a.png", ct() + 32768), reason, values="hu", offset=offset)


def test_a_png_may_say_itself_that_it_holds_hu(tmp_path: Path) -> None:
    path = write_16_bit(tmp_path / "a.png", ct() + 32768, frostline__hu_offset="32768")
    np.testing.assert_allclose(read(path), windowed(ct()), atol=1e-6)
    assert facts(path).is_hu
    np.testing.assert_allclose(read(path, values="hu"), windowed(ct()), atol=1e-6)
    fails(path, "offset=32768", values="grey")
    for damaged in ("", "nan", "much"):
        fails(write_16_bit(path, ct() + 32768, frostline__hu_offset=damaged), "no number")


@pytest.mark.parametrize("kind", ["a.jpg", "a.png"])
def test_8_bits_hold_no_hu(tmp_path: Path, kind: str) -> None:
    Image.fromarray(RAMP).save(tmp_path / kind)
    fails(tmp_path / kind, "cannot hold HU.*data.values=auto", values="hu")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("value", [0, 7, 255])
def test_flat_pictures_are_kept(tmp_path: Path, dtype: type, value: int) -> None:
    Image.fromarray(np.full((8, 8), value, dtype)).save(tmp_path / "a.png")
    assert np.ptp(read(tmp_path / "a.png")) == 0


def test_dark_8_bit_pictures_and_few_bright_pixels_are_kept(tmp_path: Path) -> None:
    Image.fromarray(RAMP // 32).save(tmp_path / "a.png")
    read(tmp_path / "a.png")
    lesion = np.zeros((64, 64))
    lesion[30:33, 30:33] = 50000
    read(write_16_bit(tmp_path / "b.png", lesion))


def test_signed_and_float_pixels_are_no_grey(tmp_path: Path) -> None:
    Image.fromarray(ct().astype(np.int32)).save(tmp_path / "a.tif")
    fails(tmp_path / "a.tif", "data.values=auto", values="grey")
    np.testing.assert_allclose(read(tmp_path / "a.tif", values="hu"), windowed(ct()), atol=1e-6)


# Facts


@pytest.mark.parametrize(
    ("name", "pixels", "kind"),
    [
        ("a.jpg", RAMP, "JPEG"),
        ("a.webp", RAMP, "WebP"),
        ("a.bmp", RAMP, "BMP"),
        ("a.png", RAMP, "PNG 8 bit"),
        ("a.png", RAMP > 9, "PNG 1 bit"),
        ("a.png", RAMP.astype(np.uint16) * 256, "PNG 16 bit"),
        ("a.tif", RAMP, "TIFF 8 bit"),
        ("a.tif", RAMP.astype(np.uint16) * 256, "TIFF 16 bit"),
        ("a.tif", HU.astype(np.int32), "TIFF signed 32 bit"),
        ("a.tif", HU.astype(np.float32), "TIFF float"),
    ],
)
def test_facts_name_the_kind_of_a_picture(tmp_path: Path, name: str, pixels: np.ndarray, kind: str) -> None:
    Image.fromarray(pixels).save(tmp_path / name)
    found = facts(tmp_path / name)
    assert found.kind == kind
    assert found.is_hu == (pixels.min() < 0)
    if name not in ("a.jpg", "a.webp") and kind != "PNG 1 bit":
        assert (found.low, found.high) == (pixels.min(), pixels.max())
    assert (found.patient, found.study, found.series) == (None, None, None)


@pytest.mark.parametrize("quality", [5, 30, 50, 75, 90, 95, 100])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_quality_of_a_jpeg_is_told_from_its_tables(tmp_path: Path, quality: int, mode: str) -> None:
    Image.fromarray(RAMP).convert(mode).save(tmp_path / "a.jpg", quality=quality)
    assert facts(tmp_path / "a.jpg").quality == quality


# Other files


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("Thumbs.db", b"\xd0\xcf", "system file"),
        ("desktop.ini", b"a", "system file"),
        (".DS_Store", b"", "system file"),
        ("._a.jpg", b"\0\x05\x16\x07\0", "system file"),
        ("readme.txt", b"BMI, age\n", "text"),
        ("labels.csv", "path;größe\n".encode(), "text"),
        ("notes", b"", "empty file"),
        ("a.pdf", b"%PDF-1.4", "PDF"),
        ("a.zip", b"PK\x03\x04", "ZIP archive"),
        ("a.xyz", bytes(range(256)), "unknown .xyz"),
        ("a.txt.gz", gzip.compress(b"text", mtime=0), "text, gzip"),
        ("b.raw", bytes(100), "unknown .raw"),
        ("1.2.3", b"\x08\0\x08\0\x08\0\0\0" * 40, "unknown .3"),
    ],
)
def test_other_files_are_no_images(tmp_path: Path, name: str, data: bytes, kind: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(NoImage) as raised:
        read(tmp_path / name)
    assert str(raised.value) == kind


NIFTI = struct.pack("<i", 348) + bytes(340) + b"n+1\0" + bytes(100)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.gif", b"GIF87a", "GIF: .*PNG"),
        ("a.npy", b"\x93NUMPY\x01\0", "NumPy array: .*PNG"),
        ("a.dcm.gz", gzip.compress(bytes(128) + b"DICM", mtime=0), "gzip file: .*gunzip"),
        ("a.nii", NIFTI, "NIfTI volume: .*frostline slices"),
        ("a.nii", b"", "NIfTI volume"),
        ("a.nii.gz", gzip.compress(NIFTI, mtime=0), "NIfTI volume: .*frostline slices"),
        ("a.gz", gzip.compress(NIFTI, mtime=0), "NIfTI volume"),
        ("a.png", NIFTI, "NIfTI volume"),
        ("a.img", NIFTI, "NIfTI volume"),
        ("a.hdr", struct.pack(">i", 348) + bytes(344), "Analyze volume"),
        ("a.mha", b"ObjectType = Image\nNDims = 3\n", "MetaImage volume: .*frostline slices"),
        ("a.mhd", b"ObjectType = Image", "MetaImage volume: .*frostline slices"),
        ("a.nrrd", b"NRRD0004\n", "NRRD volume: .*frostline slices"),
        ("a.jp2", b"\0\0\0\x0cjP  \r\n", "JPEG 2000: .*PNG"),
    ],
)
def test_images_that_are_not_trained_on_are_left_out_with_what_to_do(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(LeftOut, match=reason) as raised:
        read(tmp_path / name)
    assert str(raised.value).startswith(f"{raised.value.kind}: ")


@pytest.mark.parametrize(
    ("header", "text", "pixels"),
    [
        ("a.mhd", b"ObjectType = Image", "a.raw"),
        ("a.mhd", b"ElementDataFile = b.raw", "b.raw"),
        ("a.nhdr", b"NRRD0004\ndata file: b.raw", "b.raw"),
        ("a.hdr", bytes(348), "a.img"),
    ],
)
def test_the_pixels_of_a_volume_are_part_of_it(tmp_path: Path, header: str, text: bytes, pixels: str) -> None:
    (tmp_path / header).write_bytes(text)
    (tmp_path / pixels).write_bytes(bytes(range(100)))
    with pytest.raises(LeftOut, match="volume: part of"):
        read(tmp_path / pixels)


@pytest.mark.parametrize("name", ["a.jpg", "a.dcm", "a.img", "a", "a.123", "a.txt"])
def test_the_content_decides_whatever_the_name(tmp_path: Path, name: str) -> None:
    Image.fromarray(RAMP).save(tmp_path / name, "PNG")
    np.testing.assert_array_equal(read(tmp_path / name), RAMP / np.float32(255))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(NoImage, match="no regular file"):
        read(tmp_path / "a.png")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data(), kind=st.sampled_from(["a.png", "a.tif", "a.jpg", "a.bmp", "a.webp"]))
def test_a_damaged_picture_is_never_more_than_unreadable(tmp_path: Path, draw: st.DataObject, kind: str) -> None:
    bits = draw.draw(st.sampled_from([8, 16] if kind[2:] in ("png", "tif") else [8]))
    pixels = ct() + 1024 if bits == 16 else ct().clip(-1350, 150) // 8 + 170
    Image.fromarray(pixels.astype(f"uint{bits}")).save(tmp_path / kind)
    data = bytearray((tmp_path / kind).read_bytes())
    for _ in range(draw.draw(st.integers(1, 6))):
        data[draw.draw(st.integers(0, min(len(data), 300) - 1))] = draw.draw(st.integers(0, 255))
    (tmp_path / kind).write_bytes(data[: draw.draw(st.sampled_from([None, len(data) // 2]))])
    values = draw.draw(st.sampled_from(["auto", "grey", "hu"]))
    with warnings.catch_warnings(), contextlib.suppress(UnreadableImage, LeftOut, NoImage):
        warnings.simplefilter("error")
        read(tmp_path / kind, values=values, offset=1024 * (values == "hu"))
