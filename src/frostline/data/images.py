"""Read one image of a CT slice, whatever its format, as grey values in 0..1."""

import logging
import math
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from frostline.data.dicom import looks_like_dicom, read_dicom
from frostline.data.foreign import refuse_by_name, refuse_foreign, refuse_part_of_volume
from frostline.data.plain import MAX_PIXELS, PILLOW_FORMATS, read_plain
from frostline.data.reading import ImageFacts, LeftOut, NoImage, Reading, Slice, UnreadableImage

__all__ = [
    "DICOM_EXTENSIONS",
    "EXTENSIONS",
    "MAX_PIXELS",
    "PLAIN_EXTENSIONS",
    "ImageFacts",
    "LeftOut",
    "NoImage",
    "Reading",
    "Slice",
    "UnreadableImage",
    "is_image_file",
    "read_slice",
]

PLAIN_EXTENSIONS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".dib", ".webp"})
DICOM_EXTENSIONS = frozenset({".dcm", ".dicom", ".dic", ".ima", ".img"})
EXTENSIONS = PLAIN_EXTENSIONS | DICOM_EXTENSIONS
HEAD = 4096  # bytes that say what a file is
PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
BITMAP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # bytes; text may begin with BM, too


def is_image_file(path: Path) -> bool:
    """A quick look whether `read_slice` may find an image: a suffix of EXTENSIONS, else DICOM by the first bytes.

    DICOM files often have no suffix, or a number ("1.2.840.113", a UID), or one of their makers. Raises OSError.
    """
    if not path.is_file():
        return False
    if path.suffix.lower() in EXTENSIONS:
        return True
    with path.open("rb") as file:
        return looks_like_dicom(file.read(132))


def read_slice(path: Path, reading: Reading) -> Slice:
    """Return the image as float32 [H, W] in 0 (black) .. 1 (white), with what its file says of it.

    The content decides what a file is, whatever its name; a suffix of EXTENSIONS says that it should be an image.
    The declared pixel type decides what values are; they are never stretched to their own range, so slices stay
    comparable:

    - unsigned, 1 to 16 bits: divided by the largest value of the declared depth, thus by 65535 for every 16-bit PNG,
      or HU: with `reading.values` "hu" the stored value less `reading.offset`, and in a PNG with the text
      `frostline:hu-offset` less that offset. 16 bits of which only a few percent are used are refused.
    - colour: luminance after ITU-R 601 (Pillow's "L"), at 8 bits, for Pillow reads no more; alpha and ICC are ignored.
    - signed integer and float TIFF: HU; only float TIFF wholly within 0..1 is grey.
    - DICOM: HU of an axial CT slice, see `frostline.data.dicom`.

    HU go through the window, (x - center) / width + 0.5, clipped, and are refused where no CT slice has such values
    (`frostline.data.plausible`). EXIF orientation is applied, as viewers do. More than one frame is refused.

    Raises NoImage for files that are no images, LeftOut for images not to be trained on, UnreadableImage for every
    fault of the file, also a missing one; ValueError for a faulty window; MemoryError. Not for threads: warnings and
    log messages are silenced while it reads, for they may quote the file, and Python keeps their filters per process.
    """
    if not (math.isfinite(reading.window_center) and 0 < reading.window_width < math.inf):
        raise ValueError(f"not a window: center {reading.window_center}, width {reading.window_width}")
    try:
        if stat.S_ISFIFO(mode := path.stat().st_mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode):
            raise NoImage("no regular file")  # opening it might wait for ever
        with path.open("rb") as file, _silence():
            return _read(path, file, reading)
    except (NoImage, LeftOut, UnreadableImage, MemoryError):
        raise
    except Exception as error:  # corrupt files make the decoders raise nearly every type
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnreadableImage(f"damaged or unsupported: {text}") from error


def _read(path: Path, file: BinaryIO, reading: Reading) -> Slice:
    suffix = path.suffix.lower()
    head = file.read(HEAD)
    file.seek(0)
    if not head and suffix in EXTENSIONS:
        raise UnreadableImage("empty file")
    if looks_like_dicom(head) and (found := read_dicom(file, head, reading)):
        return found
    file.seek(0)
    if not _is_picture(head):
        refuse_foreign(path, head)
        if suffix == ".img":  # DICOM, or the pixels of a NIfTI or Analyze volume
            refuse_part_of_volume(path)
        if suffix in DICOM_EXTENSIONS:
            raise UnreadableImage("not a DICOM file: no DICM at byte 128, and no data set without it")
        if suffix not in PLAIN_EXTENSIONS:
            refuse_by_name(path, head)
        raise UnreadableImage(f"not a {', '.join(PILLOW_FORMATS)} image, or of an unsupported kind")
    return read_plain(file, reading)


def _is_picture(head: bytes) -> bool:
    if head.startswith(b"BM"):
        return int.from_bytes(head[14:18], "little") in BITMAP_HEADERS
    return head.startswith(PICTURES) or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")


@contextmanager
def _silence() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("pydicom", "PIL.TiffImagePlugin")]
    before = [logger.disabled for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.disabled = True
            yield
        finally:
            for logger, disabled in zip(loggers, before, strict=True):
                logger.disabled = disabled
