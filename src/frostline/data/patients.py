"""Who is one patient, from the best that is known of each image: a table, the path, or the DICOM header."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from frostline.data.links import components, link_equal
from frostline.data.records import Record
from frostline.errors import ConfigError

SOURCES = ("table", "pattern", "dicom")  # the first that knows an image decides


@dataclass(frozen=True)
class Patients:
    """The patient of every image that one is known of."""

    names: tuple[str | None, ...]
    """One for each record; equal names are one patient. Those of DICOM are numbers, which say nothing."""
    sources: tuple[str | None, ...]
    """Which of `SOURCES` knew it."""
    remarks: tuple[str, ...]
    """What a user has to know of them, a line each."""

    @property
    def known(self) -> int:
        """Number of images with a patient."""
        return sum(name is not None for name in self.names)


def find_patients(records: Sequence[Record], table: Mapping[str, str] | None, pattern: str | None) -> Patients:
    """The patient of every record: as `table` (path -> patient) says, else `pattern` on the path, else its header.

    An identifier in the header joins images that a better source does not tell apart. Raises `ConfigError` for a
    pattern that fits no path.
    """
    keys: dict[str, list[str | None]] = {
        "table": [(table or {}).get(r.path) for r in records],
        "pattern": _by_pattern(records, pattern),
    }
    keys["dicom"], remarks = _by_header(records)
    names: list[str | None] = [None] * len(records)
    sources: list[str | None] = [None] * len(records)
    for source in SOURCES:
        bridge = _bridge(keys[source], names)
        for i, key in enumerate(keys[source]):
            if names[i] is None and key is not None:
                names[i], sources[i] = bridge.get(key, f"{source}:{key}"), source
    patients = Patients(tuple(names), tuple(sources), ())
    return Patients(patients.names, patients.sources, (*remarks, *_remarks(records, patients)))


def _by_pattern(records: Sequence[Record], pattern: str | None) -> list[str | None]:
    if pattern is None:
        return [None] * len(records)
    matches = [re.search(pattern, r.path) for r in records]
    found = [match.group(1) if match else None for match in matches]
    if records and not any(found):
        raise ConfigError(
            f"data.patient_pattern={pattern}: fits none of {len(records)} paths, such as {records[0].path}"
        )
    return found


def _by_header(records: Sequence[Record]) -> tuple[list[str | None], list[str]]:
    """Images that share a PatientID, a study or a series are one patient's, by a name for each.

    An identifier that all files share says nothing where a finer one tells them apart.
    """
    remarks = []
    levels = {
        "PatientID": [r.facts.patient for r in records],
        "StudyInstanceUID": [r.facts.study for r in records],
        "SeriesInstanceUID": [r.facts.series for r in records],
    }
    names = list(levels)
    links = [np.empty((0, 2), np.int64)]
    known = np.zeros(len(records), bool)
    for level, finer in zip(names, [*names[1:], None], strict=True):
        values = [v for v in levels[level] if v is not None]
        below = {v for v in levels[finer] if v is not None} if finer else set()
        if finer and len(values) > 1 and len(set(values)) == 1 and len(below) > 1:
            remarks.append(
                f"all {len(values)} DICOM files have one {level} (anonymised alike?): {finer} is taken in its place"
            )
            continue
        links.append(link_equal(levels[level]))
        known |= np.array([v is not None for v in levels[level]], bool)
    component = components(len(records), np.concatenate(links))
    found = [str(c) if is_known else None for c, is_known in zip(component, known, strict=True)]
    return found, remarks


def _bridge(keys: Sequence[str | None], names: Sequence[str | None]) -> dict[str, str]:
    """The name that images of one key have already, where it is one: those without a name are of that patient too."""
    by_key: dict[str, set[str]] = defaultdict(set)
    for key, name in zip(keys, names, strict=True):
        if key is not None and name is not None:
            by_key[key].add(name)
    return {key: next(iter(found)) for key, found in by_key.items() if len(found) == 1}


def _remarks(records: Sequence[Record], patients: Patients) -> list[str]:
    lines = []
    if 0 < patients.known < len(records):
        without = next(r.path for r, name in zip(records, patients.names, strict=True) if name is None)
        lines.append(
            f"of {len(records) - patients.known} of {len(records)} images no patient is known, such as {without}"
        )
    labels: dict[str, set[str]] = defaultdict(set)
    example: dict[str, dict[str, str]] = defaultdict(dict)
    for record, name in zip(records, patients.names, strict=True):
        if name is not None:
            labels[name].add(record.label)
            example[name].setdefault(record.label, record.path)
    several = sorted(name for name, found in labels.items() if len(found) > 1)
    if several:
        paths = " and ".join(list(example[several[0]].values())[:2])
        line = f"{len(several)} patients have images in more than one class, such as {paths}: each is one group"
        if "pattern" in {s for s, name in zip(patients.sources, patients.names, strict=True) if name in labels}:
            line += '; where each folder counts its patients anew, take the folder into the pattern: "([^/]+/P[0-9]+)"'
        lines.append(line)
    return lines


def count_by_source(patients: Patients) -> dict[str, int]:
    """Number of patients by the source that knew them, in the order of `SOURCES`."""
    first: dict[str, str] = {}
    for name, source in zip(patients.names, patients.sources, strict=True):
        if name is not None and source is not None:
            first.setdefault(name, source)
    count = Counter(first.values())
    return {source: count[source] for source in SOURCES if count[source]}
