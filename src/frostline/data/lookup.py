"""The most alike image of another set: what memory alone would answer."""

from __future__ import annotations

import numpy as np

from frostline.data.near_copies import whole_rows

_BLOCK = 2048  # rows compared with as many others at once


def find_most_alike(thumbnails: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest neighbour of every thumbnail among others, by correlation (Cover and Hart 1967).

    Args:
        thumbnails: uint16 [N, 64, 64], as a scan keeps them.
        among: uint16 [M, 64, 64], M at least 1.

    Returns:
        The index of the most alike one int64 [N], of equals the first, and its correlation float64 [N], -1..1.
    """
    rows, others = whole_rows(thumbnails), whole_rows(among)
    best, correlation = np.zeros(len(rows), np.int64), np.full(len(rows), -np.inf)
    norm, norms = _norms(rows), _norms(others)
    for start in range(0, len(others), _BLOCK):
        block = slice(start, start + _BLOCK)
        products = rows.astype(np.float32) @ others[block].T.astype(np.float32)  # exact: whole numbers below 2^24
        alike = products / (norm[:, None] * norms[None, block])
        nearest = alike.argmax(1)
        value = alike[np.arange(len(rows)), nearest]
        better = value > correlation
        best[better], correlation[better] = nearest[better] + start, value[better]
    return best, correlation


def _norms(rows: np.ndarray) -> np.ndarray:
    norms: np.ndarray = np.maximum(1.0, np.sqrt((rows.astype(np.int64) ** 2).sum(1)))
    return norms
