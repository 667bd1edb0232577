"""Fields of edge directions: what of a picture neither a tone curve nor inversion changes (Bigun & Granlund 1987)."""

from __future__ import annotations

import numpy as np

_FLAT = (65535 / 255) ** 2  # square of a contrast that is no edge


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


def at_size(directions: np.ndarray, size: int) -> np.ndarray:
    """int8 [n, 2, size, size]: directions smoothed at a lower resolution, 64 to one."""
    n, s = len(directions), 64 // size
    pooled = directions.reshape(n, 2, size, s, size, s).sum((3, 5), dtype=np.int64)
    return np.clip(np.rint(_smooth(pooled) / (8 * s * s)), -127, 127).astype(np.int8)


def oriented_each(fields: np.ndarray, orientation: np.ndarray) -> np.ndarray:
    """`oriented` with an orientation for each field."""
    out = np.empty_like(fields)
    for o in np.unique(orientation).tolist():
        out[orientation == o] = oriented(fields[orientation == o], o)
    return out


def oriented_points(points: np.ndarray, orientation: np.ndarray) -> np.ndarray:
    """Where points [n, 2] (x, y from the middle) of images come to lie when these are oriented."""
    x, y = points.T
    for turn in (1, 2, 3):
        x, y = np.where(orientation % 4 >= turn, (y, -x), (x, y))
    return np.stack([np.where(orientation >= 4, -x, x), y], 1)
