"""Read pictures: JPEG, PNG, TIFF, BMP, WebP."""

import math
from functools import lru_cache
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from frostline.data.plausible import check_grey, check_hu, window
from frostline.data.reading import HU_OFFSET_TEXT, PATIENT_TEXT, ImageFacts, Reading, Slice, UnreadableImage

Array = npt.NDArray[Any]
# Pillow's other formats stay closed: some start programs (EPS), none is used for CT slices.
PILLOW_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
MAX_PIXELS = 2**26  # 8192 x 8192, far above any CT slice; a few bytes can claim more
BITS_PER_SAMPLE, PHOTOMETRIC, WHITE_IS_ZERO, SAMPLE_FORMAT, SIGNED = 258, 262, 0, 339, 2  # TIFF tags and their values
# Luminance table of JPEG, ITU-T T.81 Annex K.1, which libjpeg scales by the quality
LUMINANCE = np.array(
    [
        *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56),
        *(14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
        *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
    ]
)


class _Values(NamedTuple):
    """Grey in 0..1, and the values it comes from: in HU or as stored, with the bits of the type in words."""

    grey: Array
    values: Array
    is_hu: bool
    bits: str


def read_plain(file: BinaryIO, reading: Reading) -> Slice:
    """Read a picture of PILLOW_FORMATS. Raises UnreadableImage, or whatever the decoders raise at damaged files."""
    try:
        image: Image.Image = Image.open(file, formats=PILLOW_FORMATS)
    except UnidentifiedImageError:
        raise UnreadableImage(f"not a {', '.join(PILLOW_FORMATS)} image, or of an unsupported kind") from None
    check_size(image.height, image.width, getattr(image, "n_frames", 1))
    quality = _quality(getattr(image, "quantization", None))
    deep_colour = image.format == "PNG" and _png_bits(file) == 16
    tags = dict(image.tag_v2) if isinstance(image, TiffImageFile) else {}
    name = "WebP" if image.format == "WEBP" else "JPEG" if image.format == "MPO" else str(image.format)
    ImageOps.exif_transpose(image, in_place=True)
    found = _values(image, tags, reading, deep_colour)
    kind = f"{name} {found.bits}" if name in ("PNG", "TIFF") else name
    low, high = float(found.values.min()), float(found.values.max())
    # What `frostline slices` writes; nobody else's words are taken for a patient
    patient = image.info.get(PATIENT_TEXT) if image.format == "PNG" and HU_OFFSET_TEXT in image.info else None
    facts = ImageFacts(kind, low, high, found.is_hu, quality, patient if isinstance(patient, str) else None)
    return Slice(found.grey.astype(np.float32, copy=False), facts)


def check_size(height: int, width: int, frames: int = 1) -> None:
    """Refuse several frames, and sizes that no slice has. Raises UnreadableImage."""
    if frames != 1:
        raise UnreadableImage(f"{frames} frames in one file: split it into one file a slice")
    if not 0 < height * width <= MAX_PIXELS:
        raise UnreadableImage(f"{width} x {height} pixels: expected 1 to {MAX_PIXELS}")


def _values(image: Image.Image, tags: dict[int, Any], reading: Reading, deep_colour: bool) -> _Values:
    bits = tags.get(BITS_PER_SAMPLE, (16 if image.mode.startswith("I;16") or deep_colour else 8,))[0]
    offset = _hu_offset(image, reading)
    if image.mode.startswith("I;16"):
        stored: Array = np.asarray(image)
        if offset is not None:
            return _hu(stored, reading, offset, f"{bits} bit")
        largest = 2**bits - 1
        check_grey(stored, largest)
        grey = stored.astype(np.float32)
        grey /= largest
        inverted = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO  # Pillow inverts 8 bits only
        return _Values(1 - grey if inverted else grey, stored, False, f"{bits} bit")
    if image.mode == "F":
        stored = np.asarray(image)
        if offset is None and stored.min() >= 0 and stored.max() <= 1:  # no CT slice spans less than 1 HU
            check_grey(stored, 1)
            return _Values(stored, stored, False, "float")
        return _hu_unless_grey(stored, reading, offset, "float")
    if (tags.get(SAMPLE_FORMAT, (1,))[0] == SIGNED) != (image.mode == "I"):
        # Pillow reads int8 as uint8 and uint32 as int32
        raise UnreadableImage("signed 8-bit and unsigned 32-bit pixels are not supported: save as unsigned 16 bit")
    if image.mode == "I":
        return _hu_unless_grey(np.asarray(image), reading, offset, f"signed {bits} bit")
    if offset is not None:
        raise UnreadableImage(
            "8-bit or colour pixels cannot hold HU: export all files alike in 16 bits, or data.values=auto"
        )
    stored = np.asarray(image if image.mode == "L" else image.convert("L"))  # uint8
    if deep_colour or bits > 8:  # Pillow reads 16-bit colour at 8 bits
        check_grey(stored, 255)
    grey = stored.astype(np.float32)
    grey /= 255
    return _Values(grey, stored, False, f"{1 if image.mode == '1' else bits} bit")


def _hu_unless_grey(stored: Array, reading: Reading, offset: float | None, bits: str) -> _Values:
    if reading.values == "grey":
        raise UnreadableImage("signed or float pixels are not grey values: data.values=auto reads them as HU")
    return _hu(stored, reading, offset or 0.0, bits)


def _hu(stored: Array, reading: Reading, offset: float, bits: str) -> _Values:
    values = stored - np.float64(offset) if offset else stored
    guess = 32768 if values.max() > 29000 else 1024
    check_hu(values, f"HU + {guess} needs data.values=hu data.values_offset={guess}; save grey as unsigned 16 bit")
    return _Values(window(values, reading), values, True, bits)


def _hu_offset(image: Image.Image, reading: Reading) -> float | None:
    """What to take from unsigned values to have HU; None where they are grey."""
    marked = image.info.get(HU_OFFSET_TEXT) if image.format == "PNG" else None
    if reading.values == "grey" or (reading.values == "auto" and marked is None):
        return None
    if reading.values == "hu" and (reading.offset or marked is None):
        return reading.offset
    try:
        offset = float(str(marked))
    except ValueError:
        offset = math.nan
    if not math.isfinite(offset):
        raise UnreadableImage(f"its text {HU_OFFSET_TEXT} is no number: export it again, or give data.values_offset")
    return offset


def _png_bits(file: BinaryIO) -> int:
    """Bit depth of a PNG after its header; Pillow reads 16-bit colour at 8 bits and does not say so."""
    position = file.tell()
    file.seek(24)
    bits = file.read(1)[0]
    file.seek(position)
    return bits


def _quality(tables: dict[int, list[int]] | None) -> int | None:
    luminance = tuple(tables.get(0, ())) if tables else ()
    return _nearest_quality(luminance) if len(luminance) == 64 else None


@lru_cache  # the files of a data set have few tables
def _nearest_quality(luminance: tuple[int, ...]) -> int:
    """The quality, 1 to 100, at which libjpeg's table is nearest to a file's luminance table."""
    distances = np.abs(_TABLES - np.array(luminance)).sum(axis=1)
    return int(distances.argmin()) + 1


def _scaled_tables() -> Array:
    quality = np.arange(1, 101)[:, None]
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    tables: Array = np.clip((LUMINANCE * scale + 50) // 100, 1, 255)
    return tables


_TABLES = _scaled_tables()
