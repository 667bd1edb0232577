"""Which images are copies of one another, whatever was done to them on the way."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from frostline.data.changed_copies import find_changed
from frostline.data.kept import kept_arrays
from frostline.data.records import Scan
from frostline.terminal import progress

FLOOR = 0.5  # correlation below which no two images are called alike
VERSION = 1  # of what is kept: another one compares anew
_BLOCK = 2048  # rows compared with as many others at once: 16 MB of products
_FEW = 128  # of one in so many pairs each is compared by itself, else all at once
_NORM = 4000.0  # of rows in whole numbers: their products stay below 2^24, exact in float32 in whatever order
_MANY = 250_000  # pairs at once
_LEVELS = 32


@dataclass(frozen=True)
class Likeness:
    """Which images are alike, kept so that memory grows with the images and not with the pairs.

    A maximum spanning forest has the same connected components as all pairs, at every similarity from `FLOOR` on.
    """

    forest: np.ndarray
    """int64 [M, 2], i < j: records joined by correlation of 64x64 thumbnails."""
    correlation: np.ndarray
    """float64 [M], of the pairs of `forest`, at least `FLOOR`; within 0.0005 of the exact one; 1 for equal ones."""
    changed: np.ndarray
    """int64 [K, 2], i < j: a spanning forest of pairs that are one image changed (turned, flipped, inverted ...)."""

    def pairs(self, similarity: float) -> np.ndarray:
        """int64 [P, 2]: pairs that join what is alike by `similarity` or more, and changed copies."""
        return np.concatenate([self.forest[self.correlation >= similarity - 1e-6], self.changed])


def find_likeness(scan: Scan, cache_dir: Path) -> Likeness:
    """Compare all images of a data set; done once for the same files. The same on every processor."""

    def compare() -> dict[str, np.ndarray]:
        forest, correlation = spanning_forest(whole_rows(scan.thumbnails), FLOOR)
        return {"forest": forest, "correlation": correlation, "changed": find_changed(scan.thumbnails)}

    key = f"{VERSION}" + "".join(r.sha256 for r in scan.records)
    key += hashlib.sha256(np.ascontiguousarray(scan.thumbnails).data).hexdigest()
    return Likeness(**kept_arrays(cache_dir, "likeness", key, compare))


def whole_rows(thumbnails: np.ndarray) -> np.ndarray:
    """int16 [N, 4096] of thumbnails uint16 [N, 64, 64]: mean 0 and norm 4000, in whole numbers, 8 KB an image.

    What is rounded off goes on to the next pixel: rounding alone puts thousands of equal pixels off by the same, and
    correlations by 0.001. Flat images have no such row: theirs is one constant, so they are copies of one another and
    of nothing else.
    """
    pixels = thumbnails.shape[1] * thumbnails.shape[2]
    rows = np.full((len(thumbnails), pixels), round(_NORM / pixels**0.5), np.int16)
    for row, thumbnail in zip(rows, thumbnails, strict=True):
        grey = thumbnail.astype(np.int64).ravel()
        total = int(grey.sum())
        square = pixels * int((grey * grey).sum()) - total * total  # the squared norm, times pixels
        if square > pixels * (1e-4 * 65535) ** 2:
            scale = _NORM / float(np.sqrt(square * float(pixels)))
            row[:] = np.diff(np.rint(np.cumsum(grey * pixels - total) * scale), prepend=0)
    return rows


def spanning_forest(rows: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Maximum spanning forest of all pairs of rows that correlate by `floor` or more.

    Rows are compared in blocks, and pairs that the forest so far joins at least as well are dropped at once, so memory
    grows with the rows and not with the pairs. Most are dropped by what their means over 4x4 pixels allow at most, a
    sixteenth of the work. Of forests equally good the one of smaller numbers is taken.

    Args:
        rows: int16 [N, D], D pixels of a square whose side is a multiple of 4, of norm below 4096; correlation is the
            inner product over both norms.
        floor: least correlation, above 0.

    Returns:
        Pairs int64 [M, 2], i < j, and their correlations float64 [M], the largest first.
    """
    n = len(rows)
    norm = np.array([max(1.0, float(np.sqrt((row.astype(np.int64) ** 2).sum()))) for row in rows])
    rough = _rough(rows, norm)
    growing = _Forest(n)
    for start in progress(range(0, n, _BLOCK), "comparing images"):
        for other in range(start, n, _BLOCK):
            at_most = rough[start : start + _BLOCK] @ rough[other : other + _BLOCK].T
            hit = growing.may_add(at_most, start, other, norm, floor)
            i, j = np.nonzero(np.triu(hit, k=1) if other == start else hit)
            i, j = i + start, j + other
            correlation = _products(rows, i, j, at_most.size) / (norm[i] * norm[j])
            high = correlation >= floor
            growing.add(i[high], j[high], correlation[high])
    growing.settle()
    return growing.pairs, growing.weights


def _rough(rows: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """float32 [N, D / 16 + 1] of rows int16 [N, D], whose products are at least those of the rows (Cauchy-Schwarz).

    Sums over 4x4 pixels, and the norm of the rest. What floating point may round off is 256 eps, a sixth of what is
    added.
    """
    n, pixels = rows.shape
    side = math.isqrt(pixels)
    rough = np.empty((n, pixels // 16 + 1), np.float32)
    for start in range(0, n, _BLOCK):
        sums = rows[start : start + _BLOCK].reshape(-1, side // 4, 4, side // 4, 4)
        sums = sums.sum((2, 4), dtype=np.int64).reshape(-1, pixels // 16)
        square = norm[start : start + _BLOCK] ** 2
        rest = np.maximum(square - (sums * sums).sum(1) / 16, 0) + 2e-4 * square
        rough[start : start + _BLOCK] = np.concatenate([sums / 4, np.sqrt(rest)[:, None]], 1)
    return rough


def _products(rows: np.ndarray, i: np.ndarray, j: np.ndarray, of: int) -> np.ndarray:
    """Inner products float32 [P] of rows `i` and `j`, int [P], which are some of so many pairs of two blocks."""
    if len(i) * _FEW > of:
        first, other = i.min(), j.min()
        every = rows[first : i.max() + 1].astype(np.float32) @ rows[other : j.max() + 1].T.astype(np.float32)
        found: np.ndarray = every[i - first, j - other]
        return found
    products = np.empty(len(i), np.float32)
    for k in range(0, len(i), 512):
        mine, others = (rows[of_pair[k : k + 512]].astype(np.float32) for of_pair in (i, j))
        products[k : k + 512] = np.einsum("pd,pd->p", mine, others)
    return products


class _Forest:
    """A maximum spanning forest that takes in pairs by and by."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.pairs, self.weights = np.empty((0, 2), np.int64), np.empty(0)
        self.pending: list[tuple[np.ndarray, np.ndarray]] = []
        self.levels, self.component = np.empty(0), np.empty((0, n), np.int32)

    def may_add(self, products: np.ndarray, start: int, other: int, norm: np.ndarray, floor: float) -> np.ndarray:
        """Which of a block of products may add to the forest: few in a dense set, at little cost for the others."""
        rows, columns = slice(start, start + len(products)), slice(other, other + products.shape[1])
        least = float(norm[rows].min() * norm[columns].min()) * 0.9999  # float32 may round the limit
        hit: np.ndarray = products >= np.float32(floor * least)
        for level, component in zip(self.levels[::8], self.component[::8], strict=True):
            apart = component[rows, None] != component[columns]
            hit &= apart | (products >= np.float32(level * least))
        return hit

    def add(self, i: np.ndarray, j: np.ndarray, weights: np.ndarray) -> None:
        """Take in pairs, but for those already joined by pairs at least as good."""
        i, j, weights = self._news(i, j, weights)
        if len(weights) > _MANY:  # the best of every image join most of the others
            best = np.zeros(self.n)
            np.maximum.at(best, i, weights)
            np.maximum.at(best, j, weights)
            first = (weights == best[i]) | (weights == best[j])
            self.pending.append((np.stack([i[first], j[first]], 1), weights[first]))
            self.settle()
            i, j, weights = self._news(i[~first], j[~first], weights[~first])
        self.pending.append((np.stack([i, j], 1), weights))
        if sum(len(w) for _, w in self.pending) > 4 * _MANY:
            self.settle()

    def settle(self) -> None:
        """Reduce what was taken in to the forest."""
        pairs = np.concatenate([self.pairs, *(p for p, _ in self.pending)])
        weights = np.concatenate([self.weights, *(w for _, w in self.pending)])
        self.pending = []
        order = np.lexsort((pairs[:, 1], pairs[:, 0], -weights))
        pairs, weights = pairs[order], weights[order]
        tree = minimum_spanning_tree(self._graph(pairs, np.arange(1.0, len(pairs) + 1)))  # ranks: no two are equal
        chosen = np.sort(tree.data).astype(np.int64) - 1
        self.pairs, self.weights = pairs[chosen], weights[chosen]
        self.levels = np.unique(self.weights[:: max(1, len(chosen) // _LEVELS)])
        self.component = np.empty((len(self.levels), self.n), np.int32)
        for row, level in zip(self.component, self.levels, strict=True):
            pairs = self.pairs[self.weights >= level]
            row[:] = connected_components(self._graph(pairs, np.ones(len(pairs))), directed=False)[1]

    def _news(self, i: np.ndarray, j: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Those that the forest, when last settled, does not join by pairs at least as good, as far as levels tell."""
        if not len(self.levels):
            return i, j, weights
        level = np.searchsorted(self.levels, weights)  # the lowest that is no lower than the pair
        known = np.minimum(level, len(self.levels) - 1)
        new = (level == len(self.levels)) | (self.component[known, i] != self.component[known, j])
        return i[new], j[new], weights[new]

    def _graph(self, pairs: np.ndarray, values: np.ndarray) -> coo_array:
        return coo_array((values, (pairs[:, 0], pairs[:, 1])), shape=(self.n, self.n)).tocsr()
