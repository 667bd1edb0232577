"""Which images are one picture changed: turned, flipped, shifted, zoomed, inverted or shown in another window.

Pictures are compared by the directions of their edges in double angle (Bigun & Granlund 1987), which neither a tone
curve nor inversion changes. A coarse, centred field of directions finds candidates in the eight orientations of a
square; inverse compositional Lucas-Kanade (Baker & Matthews 2004) aligns each by an affine transform at 16, 32 and 64
pixels, and where both show the picture their directions must agree.

Sums are of whole numbers that floating point holds exactly, and all else is done number by number, so that every
processor finds the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from frostline.data.alignment import Aligner, plausible
from frostline.data.edges import at_size, edge_directions, oriented, oriented_each, oriented_points
from frostline.terminal import progress

T = TypeVar("T")
CANDIDATES, ALL_CANDIDATES = 32, 64_000  # for each image, of all others in eight orientations; up to 128 in small sets
FINALISTS = 4  # of these, by the alignment at 16 pixels
AGREEMENT = {16: 0.92, 32: 0.955, 64: 0.955}  # least agreement of directions, by pixels a side
_LIKENESS = 0.6  # of coarse fields, below which no pair is a candidate
_UNIT = 4000.0  # norm of whole-number rows: their products stay below 2^24, exact in float32
_CELLS = 8
_ROWS = 1024
_BACK = np.array([0, 3, 2, 1, 4, 5, 6, 7])  # of each orientation the one that undoes it: mirror images do it themselves


def find_changed(thumbnails: np.ndarray) -> np.ndarray:
    """Spanning forest int64 [K, 2], i < j, of the pairs of thumbnails uint16 [N, 64, 64] that are one image changed.

    Equal thumbnails are taken as one; images without edges, flat ones among them, are like nothing.
    """
    first: dict[bytes, int] = {}
    for i, thumbnail in enumerate(thumbnails):
        first.setdefault(hashlib.blake2b(thumbnail.tobytes(), digest_size=16).digest(), i)
    chosen = np.array(list(first.values()), np.int64)
    n = len(chosen)
    cells, centres = np.empty((n, 2, _CELLS, _CELLS), np.int16), np.empty((n, 2))
    fields = {size: np.empty((n, 2, size, size), np.int8) for size in (16, 32)}  # 2.5 KB an image
    with ThreadPoolExecutor(_cores()) as pool:
        blocks = [np.arange(start, min(start + 128, n)) for start in range(0, n, 128)]
        described = _each(pool, lambda block: _describe(thumbnails[chosen[block]]), blocks, "describing images")
        for block, found in zip(blocks, described, strict=True):
            cells[block], centres[block], fields[16][block], fields[32][block] = found
        pairs = _candidates(cells)
        transforms, agreement = _align_first(pairs, fields[16], centres, pool)
        joined = _verify(pairs, transforms, agreement, fields[32], lambda i: thumbnails[chosen[i]], pool)
    return np.sort(chosen[joined], axis=1)


def _describe(thumbnails: np.ndarray) -> tuple[np.ndarray, ...]:
    """Coarse cells int16 [n, 2, 8, 8] of norm `_UNIT`, their centres [n, 2] (x, y; -1 to 1) and fields at 16 and 32."""
    directions = edge_directions(thumbnails)
    n = len(directions)
    ramp = np.minimum(np.minimum(np.arange(64), np.arange(64)[::-1]) + 1, 6)  # the frame may be an edge, and no picture
    z = directions * (ramp[:, None] * ramp)
    weight = np.rint(np.sqrt((z * z).sum(1))).astype(np.int64)
    axis, total = np.arange(64) * 2 - 63, 2.0 * np.maximum(weight.sum((1, 2)), 1)
    centre = np.stack([(weight.sum(1) * axis).sum(1) / total, (weight.sum(2) * axis).sum(1) / total], 1)
    padded = np.pad(z, ((0, 0), (0, 0), (12, 12), (12, 12)))
    cells = np.empty((n, 2, _CELLS, _CELLS))
    for k, (x, y) in enumerate(np.clip(np.rint(centre), -12, 12).astype(int).tolist()):
        cut = padded[k, :, 12 + y : 76 + y, 12 + x : 76 + x]
        cells[k] = cut.reshape(2, _CELLS, 64 // _CELLS, _CELLS, 64 // _CELLS).sum((2, 4))
    norm = np.sqrt((cells * cells).sum((1, 2, 3), keepdims=True))
    return np.rint(cells * (_UNIT / np.maximum(norm, 1))), centre / 31.5, *(at_size(directions, s) for s in (16, 32))


def _candidates(cells: np.ndarray) -> np.ndarray:
    """int64 [P, 3]: i < j, and the orientation of j in which the coarse fields of both are among the most alike."""
    n = len(cells)
    most = min(max(CANDIDATES, ALL_CANDIDATES // max(n, 1)), 4 * CANDIDATES)
    starts = range(0, n, _ROWS)
    best = [_Best(len(cells[start : start + _ROWS]), most) for start in starts]

    def likeness(start: int, other: int) -> np.ndarray:
        turned = np.stack([oriented(cells[other : other + _ROWS], o) for o in range(8)], 1).astype(np.float32)
        rows = cells[start : start + _ROWS].astype(np.float32).reshape(-1, 2 * _CELLS**2)
        found: np.ndarray = rows @ turned.reshape(-1, rows.shape[1]).T
        return found.reshape(len(rows), -1, 8)

    for mine, start in zip(best, starts, strict=True):  # alone first: files that follow one another are often alike
        alike = likeness(start, start)
        own = np.arange(len(alike))
        alike[own, own] = -1
        mine.begin(alike, start)
    for k, start in enumerate(progress(starts, "looking for candidates")):
        for other in starts[k + 1 :]:
            alike, mine, theirs = likeness(start, other), best[k], best[other // _ROWS]
            least = np.repeat(np.minimum(mine.least[:, None], theirs.least), 8, axis=1)
            few = np.flatnonzero(alike.reshape(least.shape) >= least)
            i, j, o = np.unravel_index(few, alike.shape)
            value = alike.reshape(-1)[few]
            for of, row, column, of_pair in (
                (mine, i, (j + other) * 8 + o, value >= mine.least[i]),
                (theirs, j, (i + start) * 8 + _BACK[o], value >= theirs.least[j]),
            ):
                of.add(row[of_pair], column[of_pair], value[of_pair])
    found = [np.empty((0, 3), np.int64)]
    for mine, start in zip(best, starts, strict=True):
        mine.settle()
        found.append(np.stack([mine.row + start, mine.column // 8, mine.column % 8], 1))
    pairs = np.concatenate(found)
    back = pairs[:, 0] > pairs[:, 1]
    pairs[back] = np.stack([pairs[:, 1], pairs[:, 0], _BACK[pairs[:, 2]]], 1)[back]
    return np.unique(pairs, axis=0)


class _Best:
    """The most alike of some images, so many of each."""

    def __init__(self, images: int, most: int) -> None:
        self._most = most
        self.row, self.column = np.empty((2, 0), np.int64)
        """Image; and the other image times 8 plus its orientation."""
        self._value = np.empty(0, np.float32)
        self.least = np.full(images, _LIKENESS * _UNIT**2, np.float32)
        """What is less alike is not among them, [images]."""
        self._pending: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def begin(self, alike: np.ndarray, start: int) -> None:
        """Take in the likeness [images, others, 8] to others that are numbered from `start`."""
        flat = alike.reshape(len(alike), -1)
        if flat.shape[1] > self._most:
            self.least = np.maximum(self.least, np.partition(flat, -self._most, axis=1)[:, -self._most])
        row, column = np.nonzero(flat >= self.least[:, None])
        self.add(row, column + start * 8, flat[row, column])

    def add(self, row: np.ndarray, column: np.ndarray, value: np.ndarray) -> None:
        """Take in some that are alike enough."""
        if len(row):
            self._pending.append((row, column, value))
        if sum(len(row) for row, _, _ in self._pending) > 4 * len(self.least):
            self.settle()

    def settle(self) -> None:
        """Keep the most alike of what was taken in; of equal ones those of smaller numbers."""
        every = [(self.row, self.column, self._value), *self._pending]
        row, column, value = (np.concatenate(of) for of in zip(*every, strict=True))
        self._pending = []
        order = np.lexsort((column, -value, row))
        rank = np.arange(len(row)) - np.searchsorted(row[order], row[order])
        order, rank = order[rank < self._most], rank[rank < self._most]
        self.row, self.column, self._value = row[order], column[order], value[order]
        last = rank == self._most - 1
        self.least[self.row[last]] = self._value[last]


def _align_first(
    pairs: np.ndarray, small: np.ndarray, centres: np.ndarray, pool: ThreadPoolExecutor
) -> tuple[np.ndarray, np.ndarray]:
    """Transforms float64 [P, 2, 3] and agreement [P] at 16 pixels of candidates, begun from their centres."""

    def align(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        i, j, orientation = pairs[block].T
        begin = np.tile(np.eye(2, 3, 1), (len(block), 1, 1))
        begin[:, :, 0] = oriented_points(centres[j], orientation) - centres[i]
        aligner = Aligner(small[i], oriented_each(small[j], orientation))
        transform = aligner.align(begin)
        return transform, aligner.agreement(transform)

    transforms, agreement = np.empty((len(pairs), 2, 3)), np.empty(len(pairs))
    blocks = [np.arange(start, min(start + 512, len(pairs))) for start in range(0, len(pairs), 512)]
    for block, (transform, agreed) in zip(blocks, _each(pool, align, blocks, "aligning candidates"), strict=True):
        transforms[block], agreement[block] = transform, agreed
    return transforms, agreement


def _verify(
    pairs: np.ndarray,
    transforms: np.ndarray,
    agreement: np.ndarray,
    fields: np.ndarray,
    thumbnails_of: Callable[[np.ndarray], np.ndarray],
    pool: ThreadPoolExecutor,
) -> np.ndarray:
    """Spanning forest int64 [K, 2] of the candidates that agree at 32 and 64 pixels too, the likeliest tried first."""

    def check(block: np.ndarray) -> np.ndarray:
        good = np.zeros(len(block), bool)
        i, j, orientation = pairs[block].T
        aligner = Aligner(fields[i], oriented_each(fields[j], orientation))
        transform = aligner.align(transforms[block])
        near = np.flatnonzero(aligner.agreement(transform) >= AGREEMENT[32])
        if len(near):
            fixed, moving = (at_size(edge_directions(thumbnails_of(k[near])), 64) for k in (i, j))
            aligner = Aligner(fixed, oriented_each(moving, orientation[near]))
            transform = aligner.align(transform[near])
            good[near] = (aligner.agreement(transform) >= AGREEMENT[64]) & plausible(transform)
        return good

    parent, tries, joined = list(range(len(fields))), np.zeros(len(fields), np.int64), []
    likely = np.flatnonzero(agreement >= AGREEMENT[16])
    likely = likely[np.lexsort((likely, -agreement[likely]))]
    for start in progress(range(0, len(likely), _ROWS), "comparing candidates"):
        block = likely[start : start + _ROWS]
        i, j, _ = pairs[block].T
        apart = np.array([_root(parent, a) != _root(parent, b) for a, b in zip(i.tolist(), j.tolist(), strict=True)])
        block = block[apart & (np.minimum(tries[i], tries[j]) < FINALISTS)]
        np.add.at(tries, pairs[block, :2], 1)
        good = list(pool.map(check, [block[k : k + 64] for k in range(0, len(block), 64)]))
        for a, b in pairs[block[np.concatenate([np.empty(0, bool), *good])], :2].tolist():
            if (root := _root(parent, a)) != (other := _root(parent, b)):
                parent[root] = other
                joined.append((a, b))
    return np.array(joined, np.int64).reshape(-1, 2)


def _each(
    pool: ThreadPoolExecutor, work: Callable[[np.ndarray], T], blocks: list[np.ndarray], what: str
) -> Iterator[T]:
    """Work on each block, in order; few at a time, so that Ctrl-C need not wait for all."""
    for start in progress(range(0, len(blocks), 8), what):
        yield from pool.map(work, blocks[start : start + 8])


def _root(parent: list[int], i: int) -> int:
    """The image that stands for all joined to `i`."""
    while parent[i] != i:
        parent[i] = i = parent[parent[i]]
    return i


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
