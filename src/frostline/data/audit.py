"""What a data set holds and what could go wrong with it, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from frostline.config.schema import DataConfig
from frostline.data.dataset import SplitData, group_data, scan_data, split_scan
from frostline.data.grouping import AlikePair, Grouping, series_links
from frostline.data.links import components
from frostline.data.near_copies import FLOOR
from frostline.data.records import Record, Scan, refuse_unreadable
from frostline.data.series import correlate
from frostline.errors import FrostlineError

NEAR_COPIES_AT = (0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99)
SERIES_AT = (0.2, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8)
_COMPARED = 150  # images of each class of a set of two classes that are compared one by one


class GroupsAt(NamedTuple):
    """What a threshold makes of a data set."""

    similarity: float
    groups: int
    largest: int
    """Images in the largest group."""


@dataclass(frozen=True)
class Audit:
    """A scan with its groups, how they would be at other thresholds, and the split that the config would draw."""

    scan: Scan
    grouping: Grouping
    near_copies: int
    """Number of images with at least one copy or near copy."""
    conflicts: list[AlikePair]
    """Copies and near copies in two classes, most alike first."""
    renamed: list[tuple[str, str]]
    """Byte-equal files of two patients."""
    joined: list[AlikePair]
    """Near copies of two patients who are known, most alike first."""
    by_similarity: list[GroupsAt]
    """Over thresholds of near copies, all else as it is."""
    by_series: list[GroupsAt]
    """Over thresholds of numbered series; empty where no series is used."""
    split: SplitData | None
    random_leaks: tuple[int, int]
    """Test images with one of their group in training if the split were drawn by image, and how many there would be."""
    remarks: list[str]
    refusal: str = ""
    """Why there is no `split`: what training on this data set would say."""


def audit_data(config: DataConfig, cache_dir: Path) -> Audit:
    """Look at the data set of `config`; files that cannot be read are counted, not refused, unless they are all."""
    scan = scan_data(config, cache_dir)
    if not scan.records:
        refuse_unreadable(scan, "stop")
    grouping, remarks = group_data(scan, config, cache_dir)
    split, random_leaks, refusal = None, (0, 0), ""
    try:
        refuse_unreadable(scan, "skip")
        split = split_scan(scan, grouping, remarks, config)
    except FrostlineError as error:
        if config.split == "manifest":
            raise
        refusal = str(error)
    with suppress(FrostlineError):  # too few images of a class
        by_image = split_scan(scan, grouping, (), replace(config, split="random"))
        random_leaks = by_image.leaks["test"], len(by_image.of("test"))
    similar = [GroupsAt(s, *_count(scan, grouping, "copies", grouping.likeness.pairs(s))) for s in NEAR_COPIES_AT]
    by_series = []
    if config.series_similarity is not None and len(series_links(grouping.neighbours, grouping.patients, -1.0)):
        for s in SERIES_AT:
            links = series_links(grouping.neighbours, grouping.patients, s)
            by_series.append(GroupsAt(s, *_count(scan, grouping, "series", links)))
    return Audit(
        scan=scan,
        grouping=grouping,
        near_copies=len(np.unique(grouping.links["copies"])),
        conflicts=find_conflicts(scan, grouping, config.similarity),
        renamed=_renamed(scan.records, grouping),
        joined=_joined(grouping, config.similarity),
        by_similarity=similar,
        by_series=by_series,
        split=split,
        random_leaks=random_leaks,
        remarks=remarks if split is None else list(split.remarks),
        refusal=refusal,
    )


def find_conflicts(scan: Scan, grouping: Grouping, similarity: float) -> list[AlikePair]:
    """Copies and near copies in two classes, most alike first.

    Chains are followed: of each set of near copies that holds two classes all pairs are compared, but of each class the
    first 150 alone.
    """
    chained = components(len(scan.records), grouping.links["copies"])
    members: dict[int, list[int]] = {}
    for i, c in enumerate(chained):
        members.setdefault(c, []).append(i)
    found = {}
    for indices in members.values():
        by_class: dict[str, list[int]] = {}
        for i in indices:
            by_class.setdefault(scan.records[i].label, []).append(i)
        some = [i for of in by_class.values() for i in of[:_COMPARED]]
        if len({scan.records[i].label for i in some}) < 2:
            continue
        pairs = [(i, j) for i in some for j in some if i < j and scan.records[i].label != scan.records[j].label]
        first, second = np.array(pairs).T
        for (i, j), c in zip(pairs, correlate(scan.thumbnails, first, second).tolist(), strict=True):
            if c >= similarity or scan.records[i].sha256 == scan.records[j].sha256:
                found[i, j] = c
    for i, j in grouping.likeness.changed.tolist():
        if scan.records[i].label != scan.records[j].label:
            found.setdefault((i, j), float("nan"))
    listed = [AlikePair(scan.records[i].path, scan.records[j].path, c) for (i, j), c in found.items()]
    return sorted(listed, key=lambda c: (-c.correlation if c.correlation == c.correlation else 1.0, c.first))


def _count(scan: Scan, grouping: Grouping, method: str, links: np.ndarray) -> tuple[int, int]:
    """Number of groups and images in the largest, were the links of one method these."""
    others = [pairs for name, pairs in grouping.links.items() if name != method]
    if method == "copies":
        links = np.concatenate([links, grouping.equal_files])
    sizes = np.bincount(components(len(scan.records), np.concatenate([links, *others])))
    return len(sizes), int(sizes.max())


def _joined(grouping: Grouping, similarity: float) -> list[AlikePair]:
    likeness, names, paths = grouping.likeness, grouping.patients.names, grouping.paths
    found = []
    for (i, j), c in zip(likeness.forest.tolist(), likeness.correlation.tolist(), strict=True):
        if c >= similarity and names[i] is not None and names[j] is not None and names[i] != names[j]:
            found.append(AlikePair(paths[i], paths[j], c))
    return sorted(found, key=lambda c: -c.correlation)


def _renamed(records: Sequence[Record], grouping: Grouping) -> list[tuple[str, str]]:
    """Pairs of byte-equal files that two different patients are named for."""
    first: dict[str, int] = {}
    found = []
    names = grouping.patients.names
    for i, record in enumerate(records):
        j = first.setdefault(record.sha256, i)
        if names[i] is not None and names[j] is not None and names[i] != names[j]:
            found.append((records[j].path, record.path))
    return found


assert NEAR_COPIES_AT[0] >= FLOOR  # below it nothing is kept
