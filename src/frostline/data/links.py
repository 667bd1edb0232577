"""Links between images, int64 [M, 2], and what they connect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def components(n: int, links: np.ndarray) -> list[int]:
    """Connected components of `n` images joined by `links`, int64 [M, 2]: a number for each image."""
    graph = coo_array((np.ones(len(links), np.int8), (links[:, 0], links[:, 1])), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    return [int(c) for c in component]


def link_equal(values: Sequence[str | None]) -> np.ndarray:
    """Links [M, 2] of every index to the first one with an equal value; None equals nothing."""
    first: dict[str, int] = {}
    found = [(first.setdefault(v, i), i) for i, v in enumerate(values) if v is not None]
    links = np.array([(a, b) for a, b in found if a != b], np.int64)
    return links.reshape(-1, 2)
