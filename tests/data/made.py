"""Records that tests make without files."""

from __future__ import annotations

import hashlib

from frostline.data.images import ImageFacts
from frostline.data.records import Record


def record(
    path: str,
    label: str = "benign",
    sha256: str | None = None,
    patient: str | None = None,
    study: str | None = None,
    series: str | None = None,
) -> Record:
    """One of 8 x 8 pixels; the identifiers are those of a DICOM header."""
    facts = ImageFacts("DICOM CT" if study or patient else "PNG 8 bit", 0, 255, False, None, patient, study, series)
    return Record(path, label, sha256 or hashlib.sha256(path.encode()).hexdigest(), 8, 8, 64, facts)
