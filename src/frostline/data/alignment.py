"""Affine alignment of fields of edge directions: inverse compositional Lucas-Kanade (Baker & Matthews 2004)."""

from __future__ import annotations

import numpy as np

_STEPS = {16: 6, 32: 4, 64: 3}
_MARGIN = {16: 1, 32: 2, 64: 4}  # pixels at the frame where what fills a turned image gives edges of its own
_SHARE = 0.6  # of the frame that both must show


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


def plausible(transform: np.ndarray) -> np.ndarray:
    """Whether transforms turn, zoom and shift no more than is looked for."""
    zoom, shear = transform[:, [0, 1], [1, 2]], transform[:, [0, 1], [2, 1]]
    near = (zoom > 0.8) & (zoom < 1.25) & (np.abs(shear) < 0.4) & (np.abs(transform[:, :, 0]) < 0.3)
    return np.asarray(near.all(1))


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
