"""What `read_slice` promises of pictures: one scale for every format, and one exception for every faulty file."""

import contextlib
import gzip
import logging
import os
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from frostline.data.images import (
    EXTENSIONS,
    MAX_PIXELS,
    LeftOut,
    NoImage,
    Reading,
    UnreadableImage,
    is_image_file,
    read_slice,
)
from tests.data.image_files import (
    HU,
    RAMP,
    ct,
    fails,
    read,
    write_png,
)

NIFTI = struct.pack("<i", 348) + bytes(340) + b"n+1\0" + bytes(100)


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
