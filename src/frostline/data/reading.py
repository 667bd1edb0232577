"""What goes into the image reader and what comes out: options, facts and the reasons why a file is not read."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# Text chunks of the PNG that `frostline slices` writes: stored value less offset is HU; the hashed patient
HU_OFFSET_TEXT, PATIENT_TEXT = "frostline:hu-offset", "frostline:patient"


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
    """Smallest and largest value, HU where they are HU, else as stored; pixels declared as padding do not count."""
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
        super().__init__(" ".join(printable.split())[:240])  # reasons may quote the bytes of a corrupt file


NOBODY = frozenset(
    ["", "anon", "anonymous", "anonymized", "anonymised", "unknown", "none", "null", "nan", "n/a", "na", "no id"]
) | {"patient"}


def names_nobody(identifier: str) -> bool:
    """Whether it is what anonymisers and spreadsheets write in place of a patient."""
    return identifier.strip().casefold() in NOBODY
