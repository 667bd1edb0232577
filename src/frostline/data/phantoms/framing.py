"""Where a patient lies in the image: what differs from scan to scan beside the anatomy."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from frostline.data.phantoms.canvas import AIR, FAT, Canvas, Field, Traits, heights

CLOSE_UP = 0.1  # share of the scans whose field of view is cut to the lungs


def frame_patient(hu: Field, rng: np.random.Generator, step: float = 1.0) -> Field:
    """The stack as a scan of its own shows it: larger or smaller, off the centre, lying askew, wider or flatter.

    All changes a little from slice to slice, as a body does that is no cylinder.

    Args:
        hu: float64 [slices, size, size] in HU, as `render_hu` gives it.
        rng: draws the scan.
        step: distance of neighbouring slices, as of `render_hu`.
    """
    slices, size, _ = hu.shape
    draw = Traits(rng, heights(slices, step)).draw
    zoom = draw(0.85, 1.05, 0.05) + (0.35 if rng.uniform() < CLOSE_UP else 0.0)
    flat, turn = draw(0.9, 1.1, 0.03), draw(-0.1, 0.1, 0.02)
    shift_x, shift_y = draw(-0.03, 0.03, 0.015), draw(-0.05, 0.03, 0.015)
    framed = np.empty_like(hu)
    middle = (size - 1) / 2
    for image, out, z, f, t, x, y in zip(
        hu, framed, zoom.flat, flat.flat, turn.flat, shift_x.flat, shift_y.flat, strict=True
    ):
        cos, sin = np.cos(t), np.sin(t)
        back = np.array([[cos / f, sin / f], [-sin, cos]]) / z  # from a pixel of the scan, row first, to one of `image`
        offset = middle - back @ (middle + size * np.array([y, x]))
        affine_transform(image, back, offset, output=out, order=1, mode="constant", cval=AIR)
    _lay_on_table(framed, rng)
    return framed


def _lay_on_table(hu: Field, rng: np.random.Generator) -> None:
    """Paint, in place, the scanner's table: a line under the body, bright in every window, and a fainter one."""
    slices, size, _ = hu.shape
    canvas = Canvas(slices, size)
    under = canvas.y - _back_of(hu) / size + 0.5 - rng.uniform(0.01, 0.03) + rng.uniform(0.1, 0.5) * canvas.x**2
    thickness = rng.uniform(0.006, 0.01)
    for depth, table in ((0.0, rng.uniform(300, 900)), (rng.uniform(0.05, 0.08), rng.uniform(-400, 200))):
        line = canvas.cover(np.abs(under - depth) - thickness / 2) * (hu < FAT - 100)  # never through the body
        hu += line * (table - hu)


def _back_of(hu: Field) -> int:
    """The lowest row, in any slice, that the body reaches around the middle column."""
    size = hu.shape[-1]
    body: NDArray[np.bool_] = (hu[:, :, 3 * size // 8 : 5 * size // 8] > FAT + 50).mean(axis=2).max(axis=0) > 0.2
    return int(np.flatnonzero(body).max(initial=size // 2))
