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
    found = [np.empty((0, 3), np.int64)]
    for start in progress(range(0, n, _ROWS), "looking for candidates"):
        rows = cells[start : start + _ROWS].reshape(-1, 2 * _CELLS**2).astype(np.float32)
        row, column = np.empty((2, 0), np.int64)  # column: image times 8 plus orientation
        value, least = np.empty(0, np.float32), np.full(len(rows), _LIKENESS * _UNIT**2, np.float32)
        for first in range(0, n, _ROWS):
            turned = np.stack([oriented(cells[first : first + _ROWS], o) for o in range(8)], 1)
            likeness = rows @ turned.reshape(-1, rows.shape[1]).astype(np.float32).T
            if first == start:
                own = np.arange(len(rows))
                likeness.reshape(len(rows), -1, 8)[own, own] = -1
            if first == 0 and likeness.shape[1] > most:
                least = np.maximum(least, np.partition(likeness, -most, axis=1)[:, -most])
            new, at = np.nonzero(likeness >= least[:, None])
            row, column = np.concatenate([row, new]), np.concatenate([column, at + first * 8])
            value = np.concatenate([value, likeness[new, at]])
            order = np.lexsort((column, -value, row))
            rank = np.arange(len(row)) - np.searchsorted(row[order], row[order])
            order = order[rank < most]
            row, column, value = row[order], column[order], value[order]
            last = rank[rank < most] == most - 1
            least[row[last]] = value[last]
        found.append(np.stack([row + start, column // 8, column % 8], 1))
    pairs = np.concatenate(found)
    back = pairs[:, 0] > pairs[:, 1]  # mirror images turn back by themselves
    pairs[back] = np.stack([pairs[:, 1], pairs[:, 0], np.where(pairs[:, 2] < 4, -pairs[:, 2] % 4, pairs[:, 2])], 1)[
        back
    ]
    return np.unique(pairs, axis=0)


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
