"""The image of one synthetic patient in Hounsfield units, and the numbers that it is drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Field: TypeAlias = NDArray[np.float64]


Line: TypeAlias = tuple[Field, Field, Field, Field, Field, Field]  # x and y of both ends, radius at both ends


def heights(slices: int, step: float = 1.0) -> Field:
    """Where the slices of a stack lie along the body, [slices, 1, 1], in usual slice distances, 0 in the middle."""
    return np.asarray(np.arange((1 - slices) / 2, slices / 2)[:, None, None] * step)


class Canvas:
    """The image of one patient in HU, painted back to front, with the coordinates of its pixels."""

    def __init__(self, slices: int, size: int, step: float = 1.0) -> None:
        self.pixel = 1.0 / size
        self.z = heights(slices, step)
        self.x: Field = (np.arange(0.5, size) / size - 0.5)[None, None, :]
        self.y: Field = self.x.transpose(0, 2, 1)
        self.hu: Field = np.full((slices, size, size), AIR)

    def cover(self, distance: Field) -> Field:
        """Share of each pixel, 0..1, inside the shape with this signed distance (negative inside)."""
        return np.clip(0.5 - distance / self.pixel, 0.0, 1.0)

    def paint(self, coverage: Field, hu: float | Field) -> None:
        """Replace the image by `hu` where `coverage` is 1; mix where it lies between 0 and 1."""
        self.hu += coverage * (hu - self.hu)

    def blob(self, cx: Field, cy: Field, rx: Field, ry: Field, wobble: Sequence[complex] = ()) -> Field:
        """Signed distance, nearly, to an ellipse whose outline has the harmonics `wobble`, from the second upwards."""
        u, v = (self.x - cx) / rx, (self.y - cy) / ry
        distance = np.sqrt(u**2 + v**2) - 1.0
        if wobble:
            unit = (u + 1j * v) / (distance + 1.0 + 1e-9)
            distance -= np.polyval([*reversed(wobble), 0.0, 0.0], unit).real
        return np.asarray(distance * np.sqrt(rx * ry))

    def lines(self, lines: Sequence[Line]) -> Field:
        """Coverage, 0..1, by tapering lines with round ends."""
        numbers = np.array(lines)  # [lines, 6, slices, 1, 1]
        ends, margin = numbers[:, :4].reshape(len(lines), 2, 2, -1), numbers[:, 4:].max(axis=(1, 2)) + self.pixel
        first, last = ends.min(axis=(1, 3)) - margin[:, 0], ends.max(axis=(1, 3)) + margin[:, 0]
        windows = np.clip((np.stack([first, last + self.pixel], axis=-1) + 0.5) / self.pixel, 0, None).astype(int)
        coverage = np.zeros_like(self.hu)
        for (x0, y0, x1, y1, r0, r1), window in zip(numbers, windows, strict=True):
            columns, rows = slice(*window[0]), slice(*window[1])  # many times faster than the whole image
            dx, dy, x, y = x1 - x0, y1 - y0, self.x[..., columns] - x0, self.y[:, rows] - y0
            along = np.clip((x * dx + y * dy) / np.maximum(dx**2 + dy**2, 1e-12), 0.0, 1.0)
            distance = np.sqrt((x - along * dx) ** 2 + (y - along * dy) ** 2) - r0 - along * (r1 - r0)
            part = coverage[:, rows, columns]
            np.maximum(part, self.cover(distance), out=part)
        return coverage


class Traits:
    """Draws a patient's numbers: each is the patient's own and drifts a little from slice to slice."""

    def __init__(self, rng: np.random.Generator, z: Field) -> None:
        self.rng, self.z = rng, z

    def draw(self, low: float, high: float, drift: float = 0.0) -> Field:
        """A number from low..high, [slices, 1, 1], that changes by at most 0.3 `drift` from one slice to the next."""
        return self.rng.uniform(low, high) + drift * np.sin(0.3 * self.z + self.rng.uniform(0, 2 * np.pi))

    def wobble(self, *amplitudes: float) -> list[complex]:
        """Outline harmonics of at most these amplitudes, for `Canvas.blob`."""
        turns = np.exp(2j * np.pi * self.rng.uniform(size=len(amplitudes)))
        return list(np.array(amplitudes) * self.rng.uniform(0.3, 1.0, len(amplitudes)) * turns)


AIR, LUNG, FAT, MUSCLE, MARROW, BONE = -1000.0, -860.0, -120.0, 55.0, 190.0, 600.0
