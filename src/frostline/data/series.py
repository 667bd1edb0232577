"""Numbered series: where files of one folder are numbered through, neighbours that are alike are one patient's."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from frostline.data.images import EXTENSIONS
from frostline.data.kept import kept_arrays
from frostline.data.listing import published_split
from frostline.data.records import Record, Scan
from frostline.seeding import derive_seed

VERSION = 1  # of what is kept: another one compares anew
MOST_APART = 5  # numbers: a few files of a series may have been taken out
LONG = 20  # files from which a series is asked whether its numbers mean anything
_SHUFFLES, _ASKED = 199, 500  # orders, and images of the series that are put into them
_CHUNK = 1000  # pairs at a time: 64 MB
_NUMBER = re.compile(r"(?<!\d)\d{1,9}(?!\d)")  # longer ones are identifiers
_HASH = re.compile(r"\.rf\.[0-9a-f]{32}")  # what a well-known exporter puts behind every name


@dataclass(frozen=True)
class Neighbours:
    """Pairs of images whose numbers follow one another in one series."""

    pairs: np.ndarray
    """int64 [M, 2] records."""
    correlation: np.ndarray
    """float64 [M], of their thumbnails."""
    ordered: np.ndarray
    """bool [M]: the numbers of their series mean something, for neighbours in it are more alike than others."""
    remarks: tuple[str, ...]

    def links(self, similarity: float) -> np.ndarray:
        """int64 [K, 2]: the pairs that count as one patient's."""
        return self.pairs[self.ordered & (self.correlation >= similarity)]


def find_neighbours(records: Sequence[Record], thumbnails: np.ndarray) -> Neighbours:
    """All neighbours by number among `records`; `thumbnails` are theirs, [N, 64, 64].

    Numbers of a long series that is in no order (shuffled, or named at random) are no evidence: neighbours there have
    to be more alike than in 99 % of 199 shuffled orders.
    """
    series: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for key, number, i in _numbered(records):
        series[key].append((number, i))
    series = _over_parts(series)
    pairs, correlation, ordered, remarks = [], [], [], []
    for (folder, name), members in sorted(series.items()):
        members.sort()
        numbers, indices = np.array(members).T
        alike = correlate(thumbnails, indices[:-1], indices[1:])
        near = np.diff(numbers) <= MOST_APART
        means_something = len(members) < LONG or _in_order(thumbnails, indices, float(alike.mean()))
        if not means_something:
            remarks.append(
                f"{folder}/{name}: {len(members)} files are numbered, but neighbours are no more alike than others: "
                "their numbers say nothing of patients"
            )
        pairs.append(np.stack([indices[:-1], indices[1:]], axis=1)[near])
        correlation.append(alike[near])
        ordered.append(np.full(int(near.sum()), means_something))
    empty = np.empty(0)
    return Neighbours(
        np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64),
        np.concatenate([empty, *correlation]),
        np.concatenate([empty, *ordered]).astype(bool),
        tuple(remarks),
    )


def find_neighbours_once(scan: Scan, cache_dir: Path) -> Neighbours:
    """`find_neighbours` of a scan; done once for the same files."""

    def compare() -> dict[str, np.ndarray]:
        found = find_neighbours(scan.records, scan.thumbnails)
        arrays = {"pairs": found.pairs, "correlation": found.correlation, "ordered": found.ordered}
        return arrays | {"remarks": np.array(found.remarks, str)}

    key = f"{VERSION}" + "".join(f"{r.path}\0{r.sha256}" for r in scan.records)
    key += hashlib.sha256(np.ascontiguousarray(scan.thumbnails).data).hexdigest()
    kept = kept_arrays(cache_dir, "neighbours", key, compare)
    return Neighbours(kept["pairs"], kept["correlation"], kept["ordered"], tuple(kept["remarks"].tolist()))


def _numbered(records: Sequence[Record]) -> Iterator[tuple[tuple[str, str], int, int]]:
    """Series (folder, name with # for the number), number and index of every record with a number.

    Of several numbers in a name the last one counts, but for a total: `slice_7_of_72` is number 7.
    """
    alike: dict[tuple[str, str], list[tuple[list[str], int]]] = defaultdict(list)
    for i, record in enumerate(records):
        folder, name = str(PurePosixPath(record.path).parent), _HASH.sub("", PurePosixPath(record.path).name)
        suffix = PurePosixPath(name).suffix
        stem = (name.removesuffix(suffix) if suffix.lower() in EXTENSIONS else name).casefold()
        if numbers := _NUMBER.findall(stem):
            alike[folder, _NUMBER.sub("#", stem)].append((numbers, i))
    for (folder, name), members in alike.items():
        counts = len(members[0][0]) - 1
        last = {int(numbers[counts]) for numbers, _ in members}
        before = {int(numbers[counts - 1]) for numbers, _ in members} if counts else set()
        if len(last) == 1 < len(before) and max(last) >= max(before) and max(last) > 1:  # a total, as in 7 of 72
            counts -= 1
        pieces = name.split("#")
        for numbers, i in members:
            fixed = [n if place != counts else "#" for place, n in enumerate(numbers)]
            shown = "".join(piece + number for piece, number in zip(pieces, [*fixed, ""], strict=True))
            yield (folder, shown), int(numbers[counts]), i


def _over_parts(series: dict[tuple[str, str], list[tuple[int, int]]]) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """Series whose folders differ by a published part alone (train, valid, test) are one, unless a number is in two."""
    together: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for folder, name in series:
        kept = [part for part in PurePosixPath(folder).parts if published_split(f"{part}/x") is None]
        together["/".join(kept), name].append((folder, name))
    found = {}
    for key, members in together.items():
        numbers = [number for member in members for number, _ in series[member]]
        if len(numbers) == len(set(numbers)):
            found[key] = [entry for member in members for entry in series[member]]
        else:
            found.update({member: series[member] for member in members})
    return found


def correlate(thumbnails: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlation, float64 [M], of thumbnails [N, 64, 64] at the indices `first` with those at `second`, both [M].

    Of a flat image it is 0, for it is like nothing.
    """
    found = [np.empty(0)]
    for start in range(0, len(first), _CHUNK):
        a, b = (_standardised(thumbnails[i[start : start + _CHUNK]]) for i in (first, second))
        found.append(np.einsum("ij,ij->i", a, b))
    return np.concatenate(found)


def _in_order(thumbnails: np.ndarray, members: np.ndarray, observed: float) -> bool:
    """Whether the mean correlation of neighbours is above that in nearly all shuffled orders."""
    rng = np.random.default_rng(derive_seed(len(members)))
    some = rng.choice(members, size=min(len(members), _ASKED), replace=False)
    rows = _standardised(thumbnails[some])
    alike = rows @ rows.T
    orders = [rng.permutation(len(some)) for _ in range(_SHUFFLES)]
    shuffled = sorted(float(alike[order[:-1], order[1:]].mean()) for order in orders)
    return observed > shuffled[int(0.99 * _SHUFFLES)]


def _standardised(thumbnails: np.ndarray) -> np.ndarray:
    rows = thumbnails.reshape(len(thumbnails), -1).astype(np.float64)
    rows -= rows.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, norm, out=np.zeros_like(rows), where=norm > 1))
