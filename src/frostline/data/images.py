"""Read one image of a CT slice, whatever its format, as grey values in 0..1."""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile
from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array

PLAIN_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"})
EXTENSIONS = PLAIN_EXTENSIONS | {".dcm", ".dicom"}
Array = npt.NDArray[Any]
# Pillow's other formats stay closed: some start programs (EPS), none is used for CT slices.
PILLOW_FORMATS = ("JPEG", "PNG", "TIFF", "BMP")
MAX_PIXELS = 2**26  # 8192 x 8192, far above any CT slice; a few bytes can claim more
BITS_PER_SAMPLE, PHOTOMETRIC, WHITE_IS_ZERO, SAMPLE_FORMAT, SIGNED = 258, 262, 0, 339, 2  # TIFF tags and their values


@dataclass(frozen=True)
class Reading:
    """How stored values become grey, and which DICOM objects are wanted: options of `data.`, explained there."""

    window_center: float = -600.0
    window_width: float = 1500.0
    values: str = "auto"
    offset: float = 0.0
    dicom_keep: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageFacts:
    """What a file says of its image beside the pixels. Identifiers are hashes: no name of a patient leaves the file."""

    kind: str
    """`JPEG`, `PNG 16 bit`, `DICOM CT` ..."""
    low: float
    high: float
    """Smallest and largest value, HU where they are HU, else as stored."""
    is_hu: bool = False
    quality: int | None = None
    """JPEG only: an estimate of the quality it was saved with, 1 to 100."""
    patient: str | None = None
    study: str | None = None
    series: str | None = None


class Slice(NamedTuple):
    """One image as the network may see it, float32 [H, W] in 0..1, and what its file says of it."""

    grey: npt.NDArray[np.float32]
    facts: ImageFacts


class NoImage(Exception):
    """The file is something else than an image. The message is its kind: `DICOM structured report`, `text` ..."""


class LeftOut(Exception):
    """An image, but not one to train on: a localizer, a volume, a GIF. Kind in few words, and the reason or remedy."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"{kind}: {reason}")
        self.kind = kind


class UnreadableImage(Exception):
    """The file holds no usable image. The message is one printable line: what is wrong, without the path."""

    def __init__(self, reason: str) -> None:
        printable = "".join(letter if letter.isprintable() else " " for letter in reason)
        super().__init__(" ".join(printable.split())[:200])  # reasons may quote the bytes of a corrupt file


def is_image_file(path: Path) -> bool:
    """Whether `read_image` should be tried: a suffix in EXTENSIONS, or none and the DICOM magic at byte 128.

    A number counts as no suffix, for DICOM files are often named by their UID ("1.2.840.113"). Raises OSError.
    """
    suffix = path.suffix.lower()
    if not path.is_file() or (suffix and not suffix[1:].isdigit()):
        return suffix in EXTENSIONS and path.is_file()
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_slice(path: Path, reading: Reading) -> Slice:
    """`read_image` with what the file says of itself. Raises as `read_image`, and `NoImage` or `LeftOut`."""
    if not is_image_file(path):
        raise NoImage(path.suffix.lower() or "no suffix")
    grey = read_image(path, reading.window_center, reading.window_width)
    return Slice(grey, ImageFacts(path.suffix.lower(), float(grey.min()), float(grey.max())))


def read_image(path: Path, window_center: float, window_width: float) -> npt.NDArray[np.float32]:
    """Return the image as float32 [H, W] in 0 (black) .. 1 (white).

    The declared pixel type decides; values are never stretched to their own range, so slices stay comparable:

    - unsigned, 1 to 16 bits: divided by the largest value of the declared depth, thus by 65535 for every 16-bit PNG.
      12-bit values in a 16-bit file come out almost black: scale them on export, or use DICOM.
    - colour: luminance after ITU-R 601 (Pillow's "L"), at 8 bits, for Pillow reads no more; alpha and ICC are ignored.
    - signed integer and float TIFF, DICOM: Hounsfield units, through the window (HU): (x - center) / width + 0.5,
      clipped, which is LINEAR_EXACT of DICOM PS3.3 C.11.2.1.3.2. MONOCHROME1 is inverted afterwards.
      Without a declared rescale they must hold a negative value (air), or are refused as not HU; only float TIFF
      wholly within 0..1 is kept as it is, for no CT slice spans less than 1 HU.

    EXIF orientation is applied, as viewers do. More than one frame is refused, and so are colour and enhanced DICOM.

    Raises UnreadableImage for every fault of the file, also a missing one; ValueError for a faulty window; MemoryError.
    Not for threads: warnings are silenced while it reads, and Python keeps their filters per process.
    """
    if not (math.isfinite(window_center) and 0 < window_width < math.inf):
        raise ValueError(f"not a window in HU: center {window_center}, width {window_width}")
    read = _read_plain if path.suffix.lower() in PLAIN_EXTENSIONS else _read_dicom
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not file.peek(1):
                raise UnreadableImage("empty file")
            return read(file, window_center, window_width).astype(np.float32, copy=False)
    except (UnreadableImage, MemoryError):
        raise
    except Exception as error:  # corrupt files make the decoders raise nearly every type
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnreadableImage(f"damaged or unsupported: {text}") from error


def _read_plain(file: BinaryIO, center: float, width: float) -> Array:
    try:
        image: Image.Image = Image.open(file, formats=PILLOW_FORMATS)
    except UnidentifiedImageError:
        raise UnreadableImage(f"not a {', '.join(PILLOW_FORMATS)} image, or of an unsupported kind") from None
    _check_size(image.height, image.width, getattr(image, "n_frames", 1))
    tags = dict(image.tag_v2) if isinstance(image, TiffImageFile) else {}
    signed = tags.get(SAMPLE_FORMAT, (1,))[0] == SIGNED
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I;16"):
        grey: Array = np.asarray(image, np.float32) / (2 ** tags.get(BITS_PER_SAMPLE, (16,))[0] - 1)
        return 1 - grey if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else grey  # Pillow inverts 8 bits only
    if image.mode == "F":
        values = np.asarray(image)
        return values if values.min() >= 0 and values.max() <= 1 else _window(values, center, width)
    if signed != (image.mode == "I"):  # Pillow reads int8 as uint8 and uint32 as int32
        raise UnreadableImage("signed 8-bit and unsigned 32-bit pixels are not supported: save as unsigned 16 bit")
    if image.mode == "I":
        return _window(np.asarray(image), center, width)
    return np.asarray(image if image.mode == "L" else image.convert("L"), np.float32) / 255


def _read_dicom(file: BinaryIO, center: float, width: float) -> Array:
    try:
        data = dcmread(file)
    except InvalidDicomError:
        raise UnreadableImage("not a DICOM file: no DICM at byte 128") from None
    if not any(name in data for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        kind = getattr(data.file_meta.get("MediaStorageSOPClassUID"), "name", "of unknown kind")
        raise UnreadableImage(f"DICOM without pixel data: {kind}")
    if "SharedFunctionalGroupsSequence" in data:
        raise UnreadableImage("enhanced DICOM: convert it to classic single slices, e.g. with dcm4che's emf2sf")
    _check_size(data.Rows, data.Columns, int(data.get("NumberOfFrames") or 1))
    if data.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnreadableImage(f"DICOM in {data.PhotometricInterpretation}, but CT is MONOCHROME1 or MONOCHROME2")
    if not get_decoder(syntax := data.file_meta.TransferSyntaxUID).is_available:
        raise UnreadableImage(f"no decoder for {syntax.name}: pip install 'pylibjpeg[all]', or use gdcmconv --raw")
    values = apply_modality_lut(pixel_array(data), data)
    if values.ndim != 2:
        raise UnreadableImage(f"DICOM pixels of shape {values.shape}, expected height x width")
    declared = "ModalityLUTSequence" in data or ("RescaleSlope" in data and "RescaleIntercept" in data)
    grey = _window(values, center, width, declared)
    return 1 - grey if data.PhotometricInterpretation == "MONOCHROME1" else grey


def _check_size(height: int, width: int, frames: int) -> None:
    if frames != 1:
        raise UnreadableImage(f"{frames} frames in one file: split it into one file a slice")
    if not 0 < height * width <= MAX_PIXELS:
        raise UnreadableImage(f"{width} x {height} pixels: expected 1 to {MAX_PIXELS}")


def _window(values: Array, center: float, width: float, declared: bool = False) -> Array:
    """Map HU to 0..1; `declared` means that a rescale says they are HU, else a negative value (air) has to."""
    if not np.isfinite(values).all():
        raise UnreadableImage("NaN or infinite pixels")
    if not declared and values.min() >= 0:
        raise UnreadableImage("no negative value and no rescale: not in HU; save as unsigned 16 bit or with a rescale")
    return np.clip((values.astype(np.float64) - center) / width + 0.5, 0, 1)
