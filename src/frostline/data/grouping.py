"""Which images belong together: copies, near copies and one patient's slices form a group, never to be split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from frostline.data.records import Record


def group_records(records: Sequence[Record], pairs: np.ndarray) -> list[str]:
    """A group name for every record: the connected components of near pairs, equal checksums and equal patients.

    The name comes from the smallest checksum in the group, so it says nothing of the patient and does not depend on
    the order of the files.
    """
    links = [tuple(pair) for pair in pairs]
    for key in ("sha256",):
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
