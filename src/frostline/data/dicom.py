"""Read DICOM as what it is: axial CT slices in HU, and other objects only where they are asked for."""

import hashlib
import io
import struct
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from frostline.data import dicom_codecs
from frostline.data.dicom_kinds import PIXELS, Kind, classify, number, text
from frostline.data.plain import check_size
from frostline.data.plausible import check_hu, check_other, window
from frostline.data.reading import ImageFacts, LeftOut, NoImage, Reading, Slice, UnreadableImage, names_nobody
from frostline.installation import install_command

Array = npt.NDArray[Any]
MAGIC = b"DICM"
DICOM_ROOT = b"1.2.840.10008."  # of every standard SOP class
OFFSET_DROPPED = (
    "the offset (often -1024) was probably dropped; export it again with the scanner's Rescale Slope and Intercept"
)
RESCALE = ("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept")
SLOPES = (0.001, 1000)  # HU of one stored step: 1 as a rule, 0.01 to 10 on extended scales
dicom_codecs.register()


def looks_like_dicom(head: bytes) -> bool:
    """Whether a file begins as DICOM does: the magic, or without preamble the first element of a data set."""
    if head[128:132] == MAGIC or head[:4] == MAGIC:
        return True
    if len(head) < 8:
        return False
    for order in "<>":
        group, element, length = struct.unpack(f"{order}HHI", head[:8])
        if group in (0x0002, 0x0008) and element <= 0x0070:
            return bool(head[4:6].isalpha() and head[4:6].isupper()) or (order == "<" and length <= 256)
    return False


def read_dicom(file: BinaryIO, head: bytes, reading: Reading) -> Slice | None:
    """Read a file that looks like DICOM; None when it has no magic and is none.

    - `classify` says what is read. CT slices are HU: rescaled (or by the Modality LUT), refused where they cannot be
      HU, and never inverted, for HU have a polarity. Others that are kept go through the window in their own units,
      MONOCHROME1 inverted; captures of a screen, 8 bits or colour without rescale, are grey already.
    - Pixel Padding Value, and up to Pixel Padding Range Limit, is black.
    - Without a file meta group the transfer syntax is what the data set looks like.

    Raises as `read_slice`. No message holds a value of a person's: of pydicom's errors only the type is told.
    """
    try:
        data = _open(file, head)
        return None if data is None else _read(data, reading)
    except (NoImage, LeftOut, UnreadableImage, MemoryError):
        raise
    except Exception as error:  # corrupt files make pydicom and the decoders raise nearly every type
        failure = type(error).__name__
    raise UnreadableImage(f"damaged or unsupported DICOM ({failure})")  # here, or it would carry pydicom's error along


def _open(file: BinaryIO, head: bytes) -> Dataset | None:
    has_magic = head[128:132] == MAGIC
    if head[:4] == MAGIC and not has_magic:  # cut off right behind the preamble
        file, has_magic = io.BytesIO(bytes(128) + file.read()), True
    if not has_magic and DICOM_ROOT not in head:
        return None
    try:
        data = dcmread(file, force=not has_magic)
    except Exception:
        if has_magic:
            raise
        return None
    if not has_magic:
        sop = UID(text(data, "SOPClassUID"))
        is_image = text(data, "Rows") and text(data, "Columns") and any(pixels in data for pixels in PIXELS)
        if not (sop.is_valid and sop and (is_image or sop.name != sop)):
            return None
    if not text(data.file_meta, "TransferSyntaxUID"):
        implicit, little = data.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
        if "PixelData" in data and data["PixelData"].is_undefined_length:
            raise UnreadableImage("compressed pixels, but no Transfer Syntax UID that says how")
    return data


def _read(data: Dataset, reading: Reading) -> Slice:
    kind = classify(data, reading.dicom_keep)
    stored = _stored(data, kind)
    if kind.is_capture and stored.dtype == np.uint8 and not any(name in data for name in RESCALE):
        kind = kind._replace(is_hu=False)
        values, padding, grey = stored, None, stored / 255
    else:
        values = _rescale(stored, data, kind.is_hu)
        padding = _padding(data, stored)
        grey = window(values, reading)
    part = ... if padding is None else ~padding
    inside = values[part]
    if kind.is_hu:
        check_hu(inside, OFFSET_DROPPED)
    else:
        check_other(stored[part], inside, grey[part])
        if text(data, "PhotometricInterpretation") == "MONOCHROME1":
            grey = 1 - grey
    if padding is not None:
        grey[padding] = 0
    return Slice(grey.astype(np.float32, copy=False), _facts(data, kind, inside))


def _stored(data: Dataset, kind: Kind) -> Array:
    """Stored values [H, W]; colour that is kept comes as its luminance."""
    height, width, allocated, bits, samples = (
        _integer(data, name) for name in ("Rows", "Columns", "BitsAllocated", "BitsStored", "SamplesPerPixel")
    )
    check_size(height, width)
    photometric = text(data, "PhotometricInterpretation")
    is_colour = photometric.startswith(("RGB", "YBR"))
    if photometric not in ("MONOCHROME1", "MONOCHROME2") and not (
        is_colour and not (kind.is_hu and not kind.is_capture)
    ):
        raise UnreadableImage(f"DICOM in {photometric[:24]}, but CT is MONOCHROME1 or MONOCHROME2")
    if "PixelData" in data and (_integer(data, "HighBit") != bits - 1 or not 1 < bits <= allocated):
        raise UnreadableImage(
            f"Bits Stored {bits}, High Bit {_integer(data, 'HighBit')}, Bits Allocated {allocated}: "
            "the high bit must be the last of the stored ones"
        )
    syntax = UID(text(data.file_meta, "TransferSyntaxUID"))
    if not syntax.is_transfer_syntax or syntax.is_private:
        raise UnreadableImage("unknown transfer syntax: convert it, e.g. with gdcmconv --raw")
    if not dicom_codecs.has_decoder(syntax, bits):
        raise UnreadableImage(f"no decoder for {syntax.name}: {install_command('dicom')}, or use gdcmconv --raw")
    if "PixelData" in data and not syntax.is_encapsulated:
        needed = height * width * samples * allocated // 8
        if len(data.PixelData) < needed and not photometric.startswith("YBR_FULL_422"):
            raise UnreadableImage(f"pixel data is less than expected: {len(data.PixelData)} of {needed} bytes")
    stored = pixel_array(data)
    if is_colour and stored.ndim == 3 and stored.dtype == np.uint8:
        stored = np.asarray(Image.fromarray(stored).convert("L"))
    if stored.ndim != 2:
        raise UnreadableImage(f"DICOM pixels of shape {stored.shape}, expected height x width")
    return stored


def _rescale(stored: Array, data: Dataset, is_hu: bool) -> Array:
    if "ModalityLUTSequence" in data:
        _refuse_other_units(text(data.ModalityLUTSequence[0], "ModalityLUTType"), is_hu)
        return apply_modality_lut(stored, data)
    _refuse_other_units(text(data, "RescaleType"), is_hu)
    slope, intercept = number(data, "RescaleSlope"), number(data, "RescaleIntercept")
    if slope == 0 or (is_hu and slope is not None and not SLOPES[0] <= slope <= SLOPES[1]):
        raise UnreadableImage(f"Rescale Slope {slope:g}, which no CT has")
    if slope in (None, 1) and not intercept:
        return stored
    values = stored.astype(np.float64)
    values *= 1 if slope is None else slope
    values += intercept or 0
    return values


def _refuse_other_units(units: str, is_hu: bool) -> None:
    """HU by PS3.3 C.11.1.1.2: `US` there means that the units are not specified."""
    if is_hu and units.upper() not in ("", "HU"):
        raise UnreadableImage("Rescale Type or Modality LUT Type is not HU: a map of something else, no CT in HU")


def _padding(data: Dataset, stored: Array) -> npt.NDArray[np.bool_] | None:
    """Which pixels are padding, PS3.3 C.7.5.1.1.2; None without such a declaration.

    Value and pixels are compared as words of Bits Allocated, for the value is often written unsigned where pixels are
    signed or the other way round (63536 is -2000), and may use bits above Bits Stored.
    """
    first = number(data, "PixelPaddingValue")
    if first is None or stored.dtype.kind not in "iu":
        return None
    last = number(data, "PixelPaddingRangeLimit")
    allocated, signed = _integer(data, "BitsAllocated"), text(data, "PixelRepresentation") == "1"

    def as_word(value: float) -> int:
        word: int = int(value) % 2**allocated
        return word - 2**allocated if signed and word >= 2 ** (allocated - 1) else word

    low, high = sorted((as_word(first), as_word(first if last is None else last)))
    padding: npt.NDArray[np.bool_] = (stored >= low) & (stored <= high)
    syntax = UID(data.file_meta.TransferSyntaxUID)
    if not syntax.is_encapsulated and allocated == 16 and text(data, "BitsStored") != "16":
        order = "<" if syntax.is_little_endian else ">"
        words = np.frombuffer(data.PixelData, f"{order}{'i' if signed else 'u'}2", stored.size).reshape(stored.shape)
        padding |= (words >= low) & (words <= high)
    return padding


def _integer(data: Dataset, keyword: str) -> int:
    value = number(data, keyword)
    if value is None or value != int(value):
        raise UnreadableImage(f"damaged: no {keyword}")
    return int(value)


def _facts(data: Dataset, kind: Kind, values: Array) -> ImageFacts:
    patient = text(data, "PatientID")  # whoever issued it: an issuer that stands in some files only would part them
    return ImageFacts(
        f"DICOM {kind.modality}",
        float(values.min()),
        float(values.max()),
        kind.is_hu,
        patient=None if names_nobody(patient) or not patient.strip(" 0") else _hash(patient),  # zeros: nobody
        study=_hash(text(data, "StudyInstanceUID")),
        series=_hash(text(data, "SeriesInstanceUID")),
    )


def _hash(identifier: str) -> str | None:
    return hashlib.sha256(identifier.encode(errors="surrogateescape")).hexdigest()[:16] if identifier else None
