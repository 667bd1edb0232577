"""What `read_slice` promises of pictures: grey or HU by what they declare, and refused where neither can be."""

from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from PIL import Image

from frostline.data.images import (
    ImageFacts,
)
from tests.data.image_files import (
    HU,
    RAMP,
    ct,
    facts,
    fails,
    read,
    windowed,
    write_16_bit,
    write_png,
    write_tiff,
)


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
