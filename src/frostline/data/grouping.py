"""Which images belong together: copies, near copies and one patient's slices form a group, never to be split."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from frostline.data.records import Record, Scan, thumbnails
from frostline.files import write_bytes

_BLOCK = 2048  # rows compared at once: 2048 x N correlations of 4 bytes in memory
_ERROR = 1e-5  # far above what float32 sums differ by from one processor to another
_COPIES = 1e-6  # copies may come out at 1 - 1e-7


def near_pairs(rows: np.ndarray, similarity: float) -> np.ndarray:
    """Pairs (i, j), i < j, int64 [M, 2], of rows float32 [N, D] of norm 1 whose inner product is >= `similarity`.

    Found in float32, decided in float64 where it is close, so that every processor finds the same.
    """
    threshold = similarity - _COPIES
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, len(rows), _BLOCK):
        products = rows[start : start + _BLOCK] @ rows[start:].T
        i, j = np.nonzero(np.triu(products >= threshold - _ERROR, k=1))
        near = products[i, j] >= threshold + _ERROR
        for k in np.flatnonzero(~near):
            near[k] = rows[start + i[k]].astype(np.float64) @ rows[start + j[k]].astype(np.float64) >= threshold
        found.append(np.stack([i + start, j + start], axis=1)[near])
    return np.concatenate(found)


def find_near_pairs(scan: Scan, similarity: float, window: tuple[float, float], cache_dir: Path) -> np.ndarray:
    """`near_pairs` of a data set, by correlation of 64x64 thumbnails; done once for the same files and similarity."""
    content = "".join(r.sha256 for r in scan.records) + f"{similarity} {window}"
    file = cache_dir / f"near-pairs-{hashlib.sha256(content.encode()).hexdigest()[:12]}.npy"
    if file.is_file():
        pairs: np.ndarray = np.load(file)
        return pairs
    pairs = near_pairs(thumbnails(scan, window), similarity)
    buffer = io.BytesIO()
    np.save(buffer, pairs)
    write_bytes(file, buffer.getvalue())
    return pairs


def group_records(records: Sequence[Record], pairs: np.ndarray) -> list[str]:
    """A group name for every record: the connected components of near pairs, equal checksums and equal patients.

    The name comes from the smallest checksum in the group, so it says nothing of the patient and does not depend on
    the order of the files.
    """
    links = [tuple(pair) for pair in pairs]
    for key in ("sha256", "patient"):
        first: dict[str, int] = {}
        for i, record in enumerate(records):
            value = getattr(record, key)
            if value is not None:
                links.append((first.setdefault(value, i), i))
    n = len(records)
    rows, columns = np.array(links, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    name: dict[int, str] = {}
    for record, c in zip(records, component.tolist(), strict=True):
        name[c] = min(name.get(c, record.sha256), record.sha256)
    return [f"g{name[c][:10]}" for c in component.tolist()]
