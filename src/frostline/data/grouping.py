"""Which images belong together: one patient's slices, copies and near copies form a group, never to be split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from frostline.data.links import components, link_equal
from frostline.data.near_copies import Likeness, find_likeness
from frostline.data.patients import Patients, find_patients
from frostline.data.records import Record, Scan
from frostline.data.series import Neighbours, find_neighbours_once

_FLAT = 256  # of 65535: less between the darkest and the brightest pixel is no picture
ALONE = "alone"  # an image that nothing joins to another, and of which no patient is known
METHODS = {
    "table": "patients of data.patients or data.table",
    "pattern": "patients of data.patient_pattern",
    "dicom": "patients of DICOM headers",
    "study": "studies of DICOM headers",
    "group": "groups of data.patients or data.table",
    "series": "neighbours in a numbered series",
    "copies": "copies and near copies",
}


class AlikePair(NamedTuple):
    """Two images by their paths, and how alike they are."""

    first: str
    second: str
    correlation: float
    """Of 64x64 thumbnails; NaN for one image changed, which is not alike as it stands."""


@dataclass(frozen=True)
class Grouping:
    """The groups of a data set, one entry for each record, and the evidence that they rest on."""

    groups: tuple[str, ...]
    """Named by the smallest checksum in the group: says nothing of the patient, does not depend on the files' order."""
    by: tuple[str, ...]
    """Which of `METHODS` tied the image, joined by `+`; `alone` where none did."""
    patients: Patients
    neighbours: Neighbours
    likeness: Likeness
    links: Mapping[str, np.ndarray]
    """By method the pairs [M, 2] of records that it joins."""
    equal_files: np.ndarray
    """int64 [M, 2]: those of `copies` that are byte for byte the same."""
    paths: tuple[str, ...]


def group_scan(
    scan: Scan,
    *,
    table: Mapping[str, str] | None,
    together: Mapping[str, str] | None = None,
    pattern: str | None,
    similarity: float,
    series_similarity: float | None,
    cache_dir: Path,
) -> Grouping:
    """Group the images of a scan by all that is known: `table` (path -> patient), `pattern`, headers, series, copies.

    `together` (path -> group) says what belongs together, and nothing of patients. Neighbours by number count where of
    at least one of the two no patient is known.
    """
    patients = find_patients(scan.records, table, pattern)
    neighbours = find_neighbours_once(scan, cache_dir)
    likeness = find_likeness(scan, cache_dir)
    flat = blank(scan.thumbnails)
    equal_files = link_equal([None if f else r.sha256 for r, f in zip(scan.records, flat, strict=True)])
    near = likeness.pairs(similarity)
    near = near[~flat[near].any(axis=1)]  # a black slice is like every other, and says nothing of a patient
    links = {
        **{source: link_equal(_of_source(patients, source)) for source in ("table", "pattern")},
        "dicom": np.concatenate([link_equal(_of_source(patients, "dicom")), patients.links]),
        "study": patients.studies,
        "group": link_equal([(together or {}).get(r.path) for r in scan.records]),
        "series": series_links(neighbours, patients, series_similarity),
        "copies": np.concatenate([equal_files, near]),
    }
    links["named"] = link_equal(patients.names)  # a patient that two sources know; no method of its own
    groups = name_groups(scan.records, np.concatenate(list(links.values())))
    paths = tuple(r.path for r in scan.records)
    by = _evidence(len(scan.records), links, patients)
    return Grouping(tuple(groups), tuple(by), patients, neighbours, likeness, links, equal_files, paths)


def blank(thumbnails: np.ndarray) -> np.ndarray:
    """Whether each of uint16 [N, 64, 64] is no picture but one grey: bool [N]. Such a slice joins nothing."""
    flat: np.ndarray = np.ptp(thumbnails.reshape(len(thumbnails), -1), axis=1) < _FLAT
    return flat


def neighbours_across(grouping: Grouping, splits: Mapping[str, str]) -> list[AlikePair]:
    """Neighbours by number with one in training and the other in validation or test by `splits` (path -> split).

    Those most alike come first.
    """
    n, paths = grouping.neighbours, grouping.paths
    found = []
    for (i, j), correlation in zip(n.pairs.tolist(), n.correlation.tolist(), strict=True):
        both = {splits.get(paths[i]), splits.get(paths[j])}
        if "train" in both and both & {"val", "test"}:
            found.append(AlikePair(paths[i], paths[j], correlation))
    return sorted(found, key=lambda a: -a.correlation)


def name_groups(records: Sequence[Record], links: np.ndarray) -> list[str]:
    """A group name for every record: the connected components of `links`, int64 [M, 2]."""
    component = components(len(records), links)
    name: dict[int, str] = {}
    for record, c in zip(records, component, strict=True):
        name[c] = min(name.get(c, record.sha256), record.sha256)
    return [f"g{name[c][:10]}" for c in component]


def _of_source(patients: Patients, source: str) -> list[str | None]:
    return [name if by == source else None for name, by in zip(patients.names, patients.sources, strict=True)]


def series_links(neighbours: Neighbours, patients: Patients, similarity: float | None) -> np.ndarray:
    """Neighbours alike by `similarity`, int64 [M, 2], where of at least one of the two no patient is known."""
    if similarity is None:
        return np.empty((0, 2), np.int64)
    links = neighbours.links(similarity)
    both_known = np.array([patients.names[i] is not None and patients.names[j] is not None for i, j in links], bool)
    return np.asarray(links[~both_known])


def _evidence(n: int, links: Mapping[str, np.ndarray], patients: Patients) -> list[str]:
    """By image the methods that tie it to others, and the source of its patient where one is known."""
    tied: list[set[str]] = [set() if source is None else {source} for source in patients.sources]
    for method, pairs in ((m, pairs) for m, pairs in links.items() if m in METHODS):
        for i in np.unique(pairs):
            tied[int(i)].add(method)
    return ["+".join(m for m in METHODS if m in found) or ALONE for found in tied]
