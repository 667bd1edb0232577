"""Who is one patient, from the best that is known of each image: a table, the path, or the DICOM header."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from frostline.data.links import link_equal
from frostline.data.reading import names_nobody
from frostline.data.records import Record
from frostline.errors import ConfigError

SOURCES = ("table", "pattern", "dicom")  # the first that knows an image decides


@dataclass(frozen=True)
class Patients:
    """The patient of every image that one is known of."""

    names: tuple[str | None, ...]
    """One for each record; equal names are one patient."""
    sources: tuple[str | None, ...]
    """Which of `SOURCES` knew it."""
    links: np.ndarray
    """int64 [M, 2]: images that an identifier of the header joins beyond their names."""
    studies: np.ndarray
    """int64 [M, 2]: images of one study or series. They belong together; who the patient is they do not say."""
    remarks: tuple[str, ...]
    """What a user has to know of them, a line each."""

    @property
    def known(self) -> int:
        """Number of images with a patient."""
        return sum(name is not None for name in self.names)


def find_patients(records: Sequence[Record], table: Mapping[str, str] | None, pattern: str | None) -> Patients:
    """The patient of every record: as `table` (path -> patient) says, else `pattern` on the path, else PatientID.

    A PatientID also joins images that a better source names to those that it does not. Raises `ConfigError` for a
    pattern that fits no path.
    """
    remarks: list[str] = []
    keys: dict[str, list[str | None]] = {
        "table": [_somebody((table or {}).get(r.path)) for r in records],
        "pattern": _by_pattern(records, pattern),
        "dicom": _patient_ids(records, remarks),
    }
    names: list[str | None] = [None] * len(records)
    sources: list[str | None] = [None] * len(records)
    for source in SOURCES[:2]:
        for i, key in enumerate(keys[source]):
            if names[i] is None and key is not None:
                names[i], sources[i] = f"{source}:{key}", source
    links = _name_by_header(keys["dicom"], names, sources, remarks)
    remarks += _remarks(records, names, sources)
    studies = [_links_of_level(records, level) for level in ("study", "series")]
    return Patients(tuple(names), tuple(sources), links, np.concatenate(studies), tuple(remarks))


def _somebody(name: str | None) -> str | None:
    return None if name is None or names_nobody(name) else name


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


def _patient_ids(records: Sequence[Record], remarks: list[str]) -> list[str | None]:
    """PatientID where it tells anybody apart: one that all DICOM files share, over several classes, says nothing."""
    ids = [r.facts.patient for r in records]
    with_header = [r for r in records if r.facts.study or r.facts.patient]
    values = {value for value in ids if value is not None}
    several = len({r.facts.study for r in with_header}) > 1 and len({r.label for r in with_header}) > 1
    if len(values) == 1 and several:
        remarks.append(
            f"all {len(with_header)} DICOM files have one PatientID (anonymised alike?): it says nothing of patients, "
            "files of one study are kept together"
        )
        return [None] * len(records)
    if not values and with_header:
        remarks.append(
            f"{len(with_header)} DICOM files have no PatientID, or a placeholder: files of one study are kept together"
        )
    return ids


def _links_of_level(records: Sequence[Record], level: str) -> np.ndarray:
    """Links of equal identifiers, unless all files share one while others tell them apart."""
    values = [getattr(r.facts, level) for r in records]
    distinct = {value for value in values if value is not None}
    others = {(r.facts.patient, r.facts.study if level == "series" else r.facts.series) for r in records}
    return link_equal(values if len(distinct) != 1 or len(others) == 1 else [None] * len(records))


def _name_by_header(
    ids: Sequence[str | None], names: list[str | None], sources: list[str | None], remarks: list[str]
) -> np.ndarray:
    """Name by PatientID what has no name; links of those whose PatientID stands under several names."""
    named: dict[str, dict[str, int]] = defaultdict(dict)
    for i, key in enumerate(ids):
        if key is not None and names[i] is not None:
            named[key].setdefault(str(names[i]), i)
    links: list[tuple[int, int]] = []
    for i, key in enumerate(ids):
        if key is None or names[i] is not None:
            continue
        better = named.get(key, {})
        names[i], sources[i] = (next(iter(better)) if len(better) == 1 else f"dicom:{key}"), "dicom"
        links += [(j, i) for j in better.values()] if len(better) > 1 else []
    torn = sum(len(better) > 1 for better in named.values())
    if torn:
        remarks.append(
            f"{torn} PatientIDs stand under several names of the table or pattern: these tell them apart, but are they "
            "patients, and not scans?"
        )
    return np.array(links, np.int64).reshape(-1, 2)


def _remarks(records: Sequence[Record], names: Sequence[str | None], sources: Sequence[str | None]) -> list[str]:
    lines = []
    known = sum(name is not None for name in names)
    if 0 < known < len(records):
        without = next(r.path for r, name in zip(records, names, strict=True) if name is None)
        lines.append(f"of {len(records) - known} of {len(records)} images no patient is known, such as {without}")
    labels: dict[str, set[str]] = defaultdict(set)
    example: dict[str, dict[str, str]] = defaultdict(dict)
    for record, name in zip(records, names, strict=True):
        if name is not None:
            labels[name].add(record.label)
            example[name].setdefault(record.label, record.path)
    several = sorted(name for name, found in labels.items() if len(found) > 1)
    if several:
        paths = " and ".join(list(example[several[0]].values())[:2])
        line = f"patients with images in more than one class: {len(several)}, such as {paths}; each is one group"
        if "pattern" in {s for s, name in zip(sources, names, strict=True) if name in several}:
            line += '; where each folder counts its patients anew, take the folder into the pattern: "([^/]+/P[0-9]+)"'
        lines.append(line)
    folded = Counter(
        re.sub(r"(?<!\d)0+(?=\d)", "", name.casefold()) for name in labels if not name.startswith("dicom:")
    )
    if (alike := sum(count > 1 for count in folded.values())) > 0:
        lines.append(f"names of patients that differ by case or zeros alone (P12, p012): {alike}; taken for several")
    return lines


def count_by_source(patients: Patients) -> dict[str, int]:
    """Number of patients by the source that knew them, in the order of `SOURCES`."""
    first: dict[str, str] = {}
    for name, source in zip(patients.names, patients.sources, strict=True):
        if name is not None and source is not None:
            first.setdefault(name, source)
    count = Counter(first.values())
    return {source: count[source] for source in SOURCES if count[source]}
