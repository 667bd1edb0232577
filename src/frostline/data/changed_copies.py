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

from frostline.terminal import progress

T = TypeVar("T")
CANDIDATES, ALL_CANDIDATES = 32, 64_000  # for each image, of all others in eight orientations; up to 128 in small sets
FINALISTS = 4  # of these, by the alignment at 16 pixels
AGREEMENT = {16: 0.92, 32: 0.955, 64: 0.955}  # least agreement of directions, by pixels a side
_STEPS = {16: 6, 32: 4, 64: 3}
_MARGIN = {16: 1, 32: 2, 64: 4}  # pixels at the frame where what fills a turned image gives edges of its own
_LIKENESS = 0.6  # of coarse fields, below which no pair is a candidate
_SHARE = 0.6  # of the frame that both must show
_UNIT = 4000.0  # norm of whole-number rows: their products stay below 2^24, exact in float32
_CELLS = 8
_FLAT = (65535 / 255) ** 2  # square of a contrast that is no edge
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


def edge_directions(thumbnails: np.ndarray) -> np.ndarray:
    """int8 [N, 2, 64, 64], 32 to one: cosine and sine of twice the direction of edges, times their local contrast."""
    a = _smooth(thumbnails.astype(np.float64))
    gx, gy = np.zeros_like(a), np.zeros_like(a)
    gx[..., 1:-1] = np.rint((a[..., 2:] - a[..., :-2]) / 16)
    gy[..., 1:-1, :] = np.rint((a[..., 2:, :] - a[..., :-2, :]) / 16)
    energy = gx * gx + gy * gy
    around = energy.astype(np.float32)
    for _ in range(8):
        around = _smooth(around) * np.float32(1 / 16)
    inner = energy[..., 8:-8, 8:-8].sum((-2, -1), keepdims=True) / 48**2
    scale = np.sqrt(energy * (around + inner / 4 + _FLAT)) + 1
    z = np.stack([(gx * gx - gy * gy) / scale, 2 * gx * gy / scale], -3)
    whole: np.ndarray = np.clip(np.rint(z * 32), -127, 127).astype(np.int8)
    return whole


def oriented(field: np.ndarray, orientation: int) -> np.ndarray:
    """The field [..., 2, S, S] of an image after `orientation` % 4 quarter turns, and mirrored from 4 on."""
    turned = np.rot90(field, orientation % 4, (-2, -1))
    if orientation % 2:
        turned = -turned
    if orientation >= 4:
        turned = turned[..., ::-1] * np.array([1, -1], field.dtype)[:, None, None]
    return turned


class Aligner:
    """Aligns n moving fields of directions to fixed ones, both int8 [n, 2, S, S].

    Transforms are float64 [n, 2, 3]: rows x and y in the moving frame; columns 1, x and y in the fixed one, -1 to 1.
    """

    def __init__(self, fixed: np.ndarray, moving: np.ndarray) -> None:
        n, _, size, _ = fixed.shape
        self.n, self.size, self.margin = n, size, _MARGIN[size]
        self.moving = _as_complex(np.pad(moving, ((0, 0), (0, 0), (1, 2), (1, 2)))).ravel()
        axis = np.arange(size, dtype=np.float32) * 2 - (size - 1)  # half pixels
        self.x, self.y = np.tile(axis, size), np.repeat(axis, size)
        self.inside = np.pad(np.ones((size - 2 * self.margin,) * 2, np.float32), self.margin).ravel()
        f = _as_complex(fixed)
        g = np.zeros((2, *f.shape), np.complex64)
        g[0, ..., 1:-1] = f[..., 2:] - f[..., :-2]
        g[1, :, 1:-1] = f[:, 2:] - f[:, :-2]
        self.fixed, self.gradient = f.reshape(n, -1), g.reshape(2, n, -1) * self.inside
        hessian = np.empty((n, 2, 3, 2, 3))
        for a in range(2):
            for b in range(2):
                hessian[:, a, :, b] = _moments(_dot(self.gradient[a], self.gradient[b]), size)
        self.unit = np.tile([1.0, size - 1, size - 1], 2)  # so that a turn weighs as a shift at the rim
        hessian = hessian.reshape(n, 6, 6) / (self.unit[:, None] * self.unit)
        trace = sum(hessian[:, k, k] for k in range(6))
        hessian += np.maximum(trace, 1.0)[:, None, None] * (np.eye(6) * (0.01 / 6))
        self.inverse = _invert(hessian)

    def align(self, transform: np.ndarray) -> np.ndarray:
        """Improve `transform`."""
        for _ in range(_STEPS[self.size]):
            moved, inside = self._warp(transform)
            error = (moved - self.fixed * np.float32(256)) * inside
            right = np.stack([_moments(_dot(g, error), self.size)[:, 0] for g in self.gradient], 1)
            right = right.reshape(-1, 6) / (256 * self.unit)
            step = (sum(self.inverse[:, :, k] * right[:, k, None] for k in range(6)) / self.unit).reshape(-1, 2, 3)
            # gradients are over two pixels and x, y in half pixels
            a, b, c, d = (4 * step[:, r, k] + float(r == k - 1) for r in range(2) for k in (1, 2))
            determinant = a * d - b * c
            determinant = np.where(np.abs(determinant) < 0.1, 1.0, determinant)
            x, y = step[:, 0, 0] * (4 / (self.size - 1)), step[:, 1, 0] * (4 / (self.size - 1))
            p, q = transform[..., 1], transform[..., 2]
            p, q = (
                p * (d / determinant)[:, None] - q * (c / determinant)[:, None],
                q * (a / determinant)[:, None] - p * (b / determinant)[:, None],
            )
            transform = np.stack([transform[..., 0] - p * x[:, None] - q * y[:, None], p, q], 2)
            transform = np.clip(transform, -4, 4)  # where nothing fits, steps may grow without end
        return transform

    def agreement(self, transform: np.ndarray) -> np.ndarray:
        """How well directions agree, 0 to 1 [n]; 0 where less than `_SHARE` of the frame is shown by both."""
        moved, inside = self._warp(transform)
        both = inside * self.inside
        a, b = self.fixed * both, moved * both
        # a turn adds one angle to all directions: the length of the complex sum does not see it
        real, imaginary = _dot(a, b).sum(1), _dot(a * np.complex64(1j), b).sum(1)
        norm = _dot(a, a).sum(1) * _dot(b, b).sum(1)
        score = np.sqrt((real * real + imaginary * imaginary) / np.maximum(norm, 1.0))
        return np.where(both.sum(1) >= _SHARE * self.inside.sum(), score, 0.0)

    def _warp(self, transform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Moving fields seen through `transform`, complex64 [n, S * S] in 256ths, and whether inside their frame."""
        s, t = self.size, transform.astype(np.float32)
        at = []
        inside = np.ones((self.n, s * s), bool)
        for r in range(2):  # in 16ths of a pixel
            half = (t[:, r, 0] * np.float32(s - 1))[:, None] + t[:, r, 1, None] * self.x + t[:, r, 2, None] * self.y
            place = np.rint((half + np.float32(s - 1)) * np.float32(8))
            inside &= (place >= self.margin * 16) & (place <= (s - 1 - self.margin) * 16)
            at.append(np.clip(place, -16, s * 16).astype(np.int32) + 16)
        index = (at[1] >> 4) * (s + 3) + (at[0] >> 4) + (np.arange(self.n, dtype=np.int32) * (s + 3) ** 2)[:, None]
        fx, fy = ((a & 15).astype(np.float32) for a in at)
        rows = []
        for below in (0, s + 3):
            left, right = self.moving.take(index + below), self.moving.take(index + (below + 1))
            rows.append(left * 16 + (right - left) * fx)
        return rows[0] * 16 + (rows[1] - rows[0]) * fy, inside


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
    return np.rint(cells * (_UNIT / np.maximum(norm, 1))), centre / 31.5, *(_at_size(directions, s) for s in (16, 32))


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
        begin[:, :, 0] = _oriented_points(centres[j], orientation) - centres[i]
        aligner = Aligner(small[i], _oriented_each(small[j], orientation))
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
        aligner = Aligner(fields[i], _oriented_each(fields[j], orientation))
        transform = aligner.align(transforms[block])
        near = np.flatnonzero(aligner.agreement(transform) >= AGREEMENT[32])
        if len(near):
            fixed, moving = (_at_size(edge_directions(thumbnails_of(k[near])), 64) for k in (i, j))
            aligner = Aligner(fixed, _oriented_each(moving, orientation[near]))
            transform = aligner.align(transform[near])
            good[near] = (aligner.agreement(transform) >= AGREEMENT[64]) & _plausible(transform)
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


def _plausible(transform: np.ndarray) -> np.ndarray:
    """Whether transforms turn, zoom and shift no more than is looked for."""
    zoom, shear = transform[:, [0, 1], [1, 2]], transform[:, [0, 1], [2, 1]]
    near = (zoom > 0.8) & (zoom < 1.25) & (np.abs(shear) < 0.4) & (np.abs(transform[:, :, 0]) < 0.3)
    return np.asarray(near.all(1))


def _smooth(a: np.ndarray) -> np.ndarray:
    """Binomial 3x3 sum, 16 times the mean, over the last two axes with edges repeated."""
    for _ in range(2):
        b = a + a
        b[..., 1:, :] += a[..., :-1, :]
        b[..., :-1, :] += a[..., 1:, :]
        b[..., 0, :] += a[..., 0, :]
        b[..., -1, :] += a[..., -1, :]
        a = b.swapaxes(-1, -2)
    return a


def _at_size(directions: np.ndarray, size: int) -> np.ndarray:
    """int8 [n, 2, size, size]: directions smoothed at a lower resolution, 64 to one."""
    n, s = len(directions), 64 // size
    pooled = directions.reshape(n, 2, size, s, size, s).sum((3, 5), dtype=np.int64)
    return np.clip(np.rint(_smooth(pooled) / (8 * s * s)), -127, 127).astype(np.int8)


def _oriented_each(fields: np.ndarray, orientation: np.ndarray) -> np.ndarray:
    """`oriented` with an orientation for each field."""
    out = np.empty_like(fields)
    for o in np.unique(orientation).tolist():
        out[orientation == o] = oriented(fields[orientation == o], o)
    return out


def _oriented_points(points: np.ndarray, orientation: np.ndarray) -> np.ndarray:
    """Where points [n, 2] (x, y from the middle) of images come to lie when these are oriented."""
    x, y = points.T
    for turn in (1, 2, 3):
        x, y = np.where(orientation % 4 >= turn, (y, -x), (x, y))
    return np.stack([np.where(orientation >= 4, -x, x), y], 1)


def _as_complex(field: np.ndarray) -> np.ndarray:
    """complex64 [n, S, S] of [n, 2, S, S]."""
    out = np.empty((len(field), *field.shape[2:]), np.complex64)
    out.real, out.imag = field[:, 0], field[:, 1]
    return out


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float64 inner products of complex numbers as vectors, one by one."""
    products: np.ndarray = a.real.astype(np.float64) * b.real + a.imag.astype(np.float64) * b.imag
    return products


def _moments(a: np.ndarray, size: int) -> np.ndarray:
    """Sums [n, 3, 3] of a [n, S * S] times the products of 1, x and y. Not by BLAS, whose threads would be too many."""
    a = a.reshape(-1, size, size)
    axis = np.arange(size) * 2.0 - (size - 1)
    rows, columns = a.sum(2), a.sum(1)
    one, x, y = rows.sum(1), (columns * axis).sum(1), (rows * axis).sum(1)
    xx, yy = (columns * axis**2).sum(1), (rows * axis**2).sum(1)
    xy = ((a * axis).sum(2) * axis).sum(1)
    return np.stack([one, x, y, x, xx, xy, y, xy, yy], 1).reshape(-1, 3, 3)


def _invert(a: np.ndarray) -> np.ndarray:
    """Inverses of positive definite [n, k, k] by Gauss-Jordan: LAPACK's last bits differ between processors."""
    n, k, _ = a.shape
    m = np.concatenate([a, np.tile(np.eye(k), (n, 1, 1))], 2)
    for c in range(k):
        m[:, c] /= m[:, c, c, None]
        for r in range(k):
            if r != c:
                m[:, r] -= m[:, r, c, None] * m[:, c]
    return m[:, :, k:]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
