"""Image files that tests write, and how they read them back."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)

from frostline.data.images import (
    ImageFacts,
    Reading,
    UnreadableImage,
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


SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


PET = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.128", "Modality": "PT"}


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
