"""Which images are copies of one another, whatever was done to them on the way."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree

from frostline.data.records import Scan, thumbnail_rows
from frostline.files import write_bytes

FLOOR = 0.5  # correlation below which no two images are called alike
_BLOCK = 2048  # rows compared at once


@dataclass(frozen=True)
class Likeness:
    """Which images are alike, kept so that memory grows with the images and not with the pairs.

    A maximum spanning forest has the same connected components as all pairs, at every similarity from `FLOOR` on.
    """

    forest: np.ndarray
    """int64 [M, 2], i < j: records joined by correlation of 64x64 thumbnails."""
    correlation: np.ndarray
    """float64 [M], of the pairs of `forest`, at least `FLOOR`."""
    changed: np.ndarray
    """int64 [K, 2], i < j: a spanning forest of pairs that are one image changed (turned, flipped, inverted ...)."""

    def pairs(self, similarity: float) -> np.ndarray:
        """int64 [P, 2]: pairs that join what is alike by `similarity` or more, and changed copies."""
        return np.concatenate([self.forest[self.correlation >= similarity - 1e-6], self.changed])


def find_likeness(scan: Scan, cache_dir: Path) -> Likeness:
    """Compare all images of a data set; done once for the same files."""
    content = "".join(r.sha256 for r in scan.records) + hashlib.sha256(scan.thumbnails.tobytes()).hexdigest()
    file = cache_dir / f"likeness-{hashlib.sha256(content.encode()).hexdigest()[:12]}.npz"
    if file.is_file():
        with np.load(file) as kept:
            return Likeness(kept["forest"], kept["correlation"], kept["changed"])
    rows = thumbnail_rows(scan)
    forest, correlation = spanning_forest(rows, FLOOR)
    found = Likeness(forest, correlation, np.empty((0, 2), np.int64))
    buffer = io.BytesIO()
    np.savez(buffer, forest=found.forest, correlation=found.correlation, changed=found.changed)
    write_bytes(file, buffer.getvalue())
    return found


def spanning_forest(rows: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Maximum spanning forest [M, 2] and its correlations [M] of rows float32 [N, D] of norm 1 alike by `floor`."""
    n = len(rows)
    edges, weights = np.empty((0, 2), np.int64), np.empty(0)
    for start in range(0, n, _BLOCK):
        products = rows[start : start + _BLOCK] @ rows[start:].T
        i, j = np.nonzero(np.triu(products >= floor, k=1))
        edges = np.concatenate([edges, np.stack([i, j], axis=1) + start])
        weights = np.concatenate([weights, products[i, j]])
        # shortest distances win; an edge of distance 0 would be no edge
        graph = coo_array((2.0 - weights, (edges[:, 0], edges[:, 1])), shape=(n, n))
        tree = minimum_spanning_tree(graph.tocsr()).tocoo()
        edges, weights = np.stack([tree.row, tree.col], axis=1).astype(np.int64), 2.0 - tree.data
    return np.sort(edges, axis=1), weights
