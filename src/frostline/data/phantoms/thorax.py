"""Synthetic chest CT: the embedded data set for demonstrations and tests, of no medical use.

A patient is a stack of neighbouring axial slices, painted from simple shapes in Hounsfield units (HU).
Lengths are fractions of the image width; the origin is the image centre, x grows towards the patient's left and y
towards the back, as on a radiologist's screen. A `Field` has the shape [slices, size, size] or broadcasts to it.
All is float64, so that rounding differences between processors stay far below one grey level.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt, gaussian_filter

Field: TypeAlias = NDArray[np.float64]
Line: TypeAlias = tuple[Field, Field, Field, Field, Field, Field]  # x and y of both ends, radius at both ends

PHANTOM_CLASSES = ("benign", "malignant", "normal")
WINDOW_HU = (-1050.0, 300.0)  # a lung window, wide enough to tell bone from muscle
AIR, LUNG, FAT, MUSCLE, MARROW, BONE = -1000.0, -860.0, -120.0, 55.0, 190.0, 600.0
BENIGN_RADIUS, MALIGNANT_RADIUS = (0.042, 0.052), (0.08, 0.105)  # of the width; vessels have at most 0.008
VERSION = 1  # of the pictures: another one is another data set


class Canvas:
    """The picture of one patient in HU, painted back to front, with the coordinates of its pixels."""

    def __init__(self, slices: int, size: int) -> None:
        self.pixel = 1.0 / size
        self.z: Field = np.arange((1 - slices) / 2, slices / 2)[:, None, None]  # in slices, 0 in the middle
        self.x: Field = (np.arange(0.5, size) / size - 0.5)[None, None, :]
        self.y: Field = self.x.transpose(0, 2, 1)
        self.hu: Field = np.full((slices, size, size), AIR)

    def cover(self, distance: Field) -> Field:
        """Share of each pixel, 0..1, inside the shape with this signed distance (negative inside)."""
        return np.clip(0.5 - distance / self.pixel, 0.0, 1.0)

    def paint(self, coverage: Field, hu: float | Field) -> None:
        """Replace the picture by `hu` where `coverage` is 1; mix where it lies between 0 and 1."""
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
            columns, rows = slice(*window[0]), slice(*window[1])  # many times faster than the whole picture
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


class Thorax(NamedTuple):
    """Where a patient's chest lies: centre and radii of the cavity, the spine, signed distances to cavity and skin."""

    x: Field
    y: Field
    rx: Field
    ry: Field
    spine_y: Field
    cavity: Field
    skin: Field


def render_patient(
    seed: int | Sequence[int] | np.random.Generator, class_name: str, slices: int, size: int
) -> NDArray[np.uint8]:
    """Neighbouring axial slices of one synthetic patient, [slices, size, size], in a lung window.

    Anatomy, lesion and noise have random streams of their own: with the same seed, classes differ in the lesion alone.

    Args:
        seed: what `np.random.default_rng` takes; a generator gives the same patient only when freshly made.
        class_name: one of `PHANTOM_CLASSES`.
        slices: number of slices, at least 1.
        size: width and height in pixels, at least 32.

    Raises:
        ValueError: unknown class, no slices or too small a picture.
    """
    if class_name not in PHANTOM_CLASSES:
        raise ValueError(f"unknown phantom class {class_name!r}; there are {', '.join(PHANTOM_CLASSES)}")
    if slices < 1 or size < 32:
        raise ValueError(f"a phantom needs at least 1 slice of 32 pixels, not {slices} of {size}")
    anatomy_rng, lesion_rng, noise_rng = np.random.default_rng(seed).spawn(3)
    canvas = Canvas(slices, size)
    traits = Traits(anatomy_rng, canvas.z)
    thorax = _paint_wall(canvas, traits)
    lung = _paint_organs(canvas, traits, thorax)
    _paint_bones(canvas, traits, thorax)
    if class_name != "normal":
        _paint_lesion(canvas, Traits(lesion_rng, canvas.z), lung, malignant=class_name == "malignant")
    # A scanner's noise is correlated over neighbouring pixels, hardly between slices
    noise = gaussian_filter(noise_rng.standard_normal(canvas.hu.shape), (0.3, 0.004 * size, 0.004 * size))
    canvas.hu += noise * (noise_rng.uniform(15, 50) / noise.std())
    (low, high), gain, offset = WINDOW_HU, noise_rng.uniform(0.94, 1.06), noise_rng.uniform(-40, 40)
    grey = (gain * canvas.hu + offset - low) * (255 / (high - low))
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def _merge(a: Field, b: Field, rounding: float) -> Field:
    """Signed distance to the union of two shapes, the corners where they meet rounded."""
    mix = np.clip(0.5 + 0.5 * (b - a) / rounding, 0.0, 1.0)
    return b + (a - b) * mix - rounding * mix * (1 - mix)


def _paint_wall(canvas: Canvas, traits: Traits) -> Thorax:
    """The scanner's table, skin, fat and muscle."""
    draw = traits.draw
    cx, cy, rx = draw(-0.03, 0.03, 0.003), draw(-0.05, 0.03, 0.003), draw(0.38, 0.46, 0.004)
    ry = rx * draw(0.66, 0.82, 0.005)
    table = canvas.y - (cy + ry + draw(0.015, 0.03)) + draw(0.15, 0.5) * canvas.x**2
    canvas.paint(canvas.cover(np.abs(table) - 0.003), -250.0)
    canvas.paint(canvas.cover(np.abs(table - draw(0.04, 0.07)) - 0.002), -450.0)
    dip = 0.02j * traits.rng.uniform()  # of the skin over the breastbone
    skin = canvas.blob(cx, cy, rx, ry, [0.0, dip, -0.03, *traits.wobble(0.01, 0.006)])
    x, y, chest_rx, chest_ry = cx, cy - draw(0.0, 0.015), rx * draw(0.74, 0.82, 0.004), ry * draw(0.72, 0.79, 0.004)
    cavity = canvas.blob(x, y, chest_rx, chest_ry, traits.wobble(0.03, 0.03, 0.02, 0.012, 0.008))
    thorax = Thorax(x, y, chest_rx, chest_ry, y + chest_ry * draw(0.7, 0.8, 0.005), cavity, skin)
    back = canvas.blob(x, thorax.spine_y + 0.08, rx * 0.88, ry * 0.32)
    muscle = _merge(cavity - draw(0.025, 0.04, 0.002), back, 0.03)
    canvas.paint(canvas.cover(skin), MUSCLE - 20)
    canvas.paint(canvas.cover(skin + 0.006), FAT)
    canvas.paint(canvas.cover(np.maximum(muscle, skin + draw(0.012, 0.04, 0.001))), MUSCLE)
    return thorax


def _paint_organs(canvas: Canvas, traits: Traits, thorax: Thorax) -> Field:
    """Heart, aorta, bronchi and lungs with their vessels; returns the coverage of both lungs, 0..1."""
    draw, (x, y, _, ry, spine_y, cavity, _) = traits.draw, thorax
    level = draw(0.0, 1.0, 0.08)  # 0: below the aortic arch, 1: through the ventricles
    heart_x, heart_y = x + draw(0.015, 0.04, 0.004) * (0.5 + level), y - ry * draw(0.1, 0.3, 0.02)
    heart_rx, heart_ry = draw(0.07, 0.09) + 0.06 * level, draw(0.07, 0.09) + 0.035 * level
    heart = canvas.blob(heart_x, heart_y, heart_rx, heart_ry, traits.wobble(0.1, 0.06, 0.04))
    column = canvas.blob(x, y, draw(0.045, 0.065, 0.003), ry * 1.1, traits.wobble(0.12, 0.08))
    spine = canvas.blob(x, spine_y + 0.035, draw(0.055, 0.065), draw(0.085, 0.095))
    mediastinum = _merge(heart, column, 0.03)
    aorta_radius, blood = draw(0.022, 0.03), draw(40.0, 160.0)  # HU with or without contrast agent
    aorta = canvas.blob(x + draw(0.035, 0.05, 0.003), spine_y - draw(0.05, 0.065), aorta_radius, aorta_radius)
    lung = canvas.cover(np.maximum(-_merge(_merge(mediastinum, spine, 0.03), -cavity, 0.02), -aorta))
    inside = canvas.cover(cavity + 0.004)
    canvas.paint(inside, FAT + 60)
    canvas.paint(inside * canvas.cover(mediastinum + 0.008), MUSCLE - 15)
    canvas.paint(inside * canvas.cover(heart + 0.02), blood)
    canvas.paint(lung, LUNG + draw(-30, 30) + 120 * (canvas.y - y))  # denser where the patient lies on it
    canvas.paint(canvas.cover(aorta), blood + 30)
    hilum_y, airways, vessels = y + draw(0.0, 0.05, 0.004), [], []
    for side in (-1, 1):
        vessels += _grow_vessels(traits, side, x + side * draw(0.06, 0.08, 0.003), hilum_y)
        bronchus_x, radius = x + side * (0.012 + 0.04 * level), draw(0.009, 0.013)
        airways.append((bronchus_x, hilum_y - 0.02, bronchus_x, hilum_y - 0.02, radius, radius))
    canvas.paint(lung * canvas.lines(vessels), blood - 220)  # partial volume dims thin vessels
    canvas.paint(canvas.lines(airways), AIR + 30)
    return lung


def _grow_vessels(traits: Traits, side: int, hilum_x: Field, hilum_y: Field) -> list[Line]:
    """Vessels of one lung: branches that fork and taper from the hilum on, and others that cross the slice."""
    rng, lines = traits.rng, []
    tips = [(hilum_x, hilum_y, angle, rng.uniform(0.005, 0.008)) for angle in np.linspace(-1.4, 1.4, 5)]
    for _ in range(4):
        forks = []
        for x, y, angle, radius in tips:
            turn, length = angle + rng.normal(0, 0.15), rng.uniform(0.04, 0.09)
            end_x, end_y = x + side * length * np.cos(turn), y + length * np.sin(turn)
            seen = traits.draw(0.3, 0.8, 0.4).clip(0, 1)  # branches leave the slice and come back
            lines.append((x, y, end_x, end_y, radius * seen, radius * 0.7 * seen))
            forks += [(end_x, end_y, turn + fork, radius * 0.7) for fork in (-0.3, 0.35)[: rng.integers(1, 3)]]
        tips = forks
    for _ in range(20):
        away, angle, size = 0.2 * rng.uniform() ** 0.7, rng.uniform(-1.5, 1.5), traits.draw(0.003, 0.007, 0.001)
        x, y = hilum_x + side * away * np.cos(angle) + traits.draw(0, 0, 0.004), hilum_y + 1.2 * away * np.sin(angle)
        lines.append((x, y, x, y, size, size))
    return lines


def _paint_bones(canvas: Canvas, traits: Traits, thorax: Thorax) -> None:
    """Ribs, breastbone, shoulder blades and a vertebra."""
    draw, (x, y, rx, ry, spine_y, cavity, skin) = traits.draw, thorax
    angle = np.arctan2(np.abs(canvas.x - x) / rx, (canvas.y - y) / ry)  # 0 at the back, pi in front
    wave = 8 * angle + draw(0, 6, 0.5) + np.sign(canvas.x - x) * draw(-0.4, 0.4)
    band = np.abs(cavity - 0.017 - 0.005 * np.sin(wave)) - draw(0.007, 0.010)  # ribs cross the slice obliquely
    ribs = np.maximum(band, (draw(-0.1, 0.4) - np.cos(wave)) * 0.025)
    front, half, thick = y - ry - 0.016, draw(0.02, 0.03, 0.003), draw(0.008, 0.011)
    marrow = thick - 0.005
    canal_y, arch, canal, thin = spine_y + draw(0.05, 0.056), draw(0.024, 0.027), draw(0.014, 0.017), draw(0.005, 0.007)
    blade_x, blade_y = rx * draw(0.75, 0.85, 0.01), spine_y - draw(0.0, 0.05, 0.01)
    reach, drop = draw(0.055, 0.08, 0.01), draw(0.01, 0.03)
    plates: list[Line] = [(x, canal_y + 0.02, x, canal_y + draw(0.05, 0.065, 0.01), thin + 0.003, thin)]
    for side in (-1, 1):
        plates.append((x + side * 0.02, canal_y, x + side * reach, canal_y + drop, thin + 0.003, thin))
        inner, outer = x + side * blade_x, x + side * (blade_x + 0.08)
        plates.append((inner, blade_y + 0.05, outer, blade_y - 0.02, thin * 0.6, thin * 1.2))
    vertebra = canvas.blob(x, spine_y, draw(0.04, 0.048, 0.002), draw(0.033, 0.04, 0.002))
    canvas.paint(canvas.cover(ribs), BONE)
    canvas.paint(canvas.cover(ribs + 0.006), MARROW)
    canvas.paint(canvas.lines([(x - half, front, x + half, front, thick, thick)]), BONE)
    canvas.paint(canvas.lines([(x - half, front, x + half, front, marrow, marrow)]), MARROW)
    canvas.paint(canvas.lines(plates) * canvas.cover(skin + 0.02), BONE)
    canvas.paint(canvas.lines([(x, canal_y, x, canal_y, arch, arch)]), BONE)
    canvas.paint(canvas.cover(vertebra), BONE)
    canvas.paint(canvas.cover(vertebra + 0.007), MARROW)
    canvas.paint(canvas.lines([(x, canal_y, x, canal_y, canal, canal)]), MUSCLE - 20)


def _paint_lesion(canvas: Canvas, traits: Traits, lung: Field, *, malignant: bool) -> None:
    """A smooth round nodule, now and then calcified, or a larger irregular mass with spicules, within one lung."""
    rng, low_high = traits.rng, MALIGNANT_RADIUS if malignant else BENIGN_RADIUS
    room = distance_transform_edt(lung.min(axis=0) > 0.5) * canvas.pixel  # to the lung's edge, in all slices
    widest = max(low_high[0], min(low_high[1], room.max()))
    radius = rng.uniform(low_high[0], widest) * traits.draw(0.96, 0.96, 0.04)
    places = np.argwhere(room >= min(radius.max(), 0.95 * room.max()))
    row, column = places[rng.integers(len(places))]
    cx, cy = canvas.x[..., column, None] + traits.draw(0, 0, 0.003), canvas.y[:, row, None] + traits.draw(0, 0, 0.003)
    hu = MUSCLE + rng.uniform(-30, 30)
    if malignant:
        spicules: list[Line] = []
        for angle in np.linspace(0, 2 * np.pi, 16, endpoint=False) + rng.uniform(-0.15, 0.15, 16):
            reach, root = radius * traits.draw(1.15, 1.7, 0.05), radius * 0.16
            spicules.append((cx, cy, cx + reach * np.cos(angle), cy + reach * np.sin(angle), root, root * 0.2))
        canvas.paint(lung * canvas.lines(spicules), hu - 60)
        canvas.paint(canvas.cover(canvas.blob(cx, cy, radius, radius, traits.wobble(0.12, 0.08, 0.06, 0.05, 0.04))), hu)
    else:
        canvas.paint(canvas.lines([(cx, cy, cx, cy, radius, radius)]), hu)
        if rng.uniform() < 0.4:
            canvas.paint(canvas.lines([(cx, cy, cx, cy, radius * 0.45, radius * 0.45)]), BONE)


def write_phantoms(root: Path, seed: int, patients: Mapping[str, int], slices: int, size: int) -> None:
    """Write `root/<class>/patient_<000>_slice_<00>.png`, 8-bit grey; do nothing when `root` exists.

    The folder appears at once and whole: it is filled beside `root` and then renamed, so a killed writer leaves no
    half data set. Patients are numbered through all classes, in the alphabetical order of the class names.

    Args:
        root: the new data set folder.
        seed: patient n is drawn from `np.random.default_rng([seed, n])`.
        patients: number of patients of each class.
        slices: slices of each patient.
        size: width and height in pixels.

    Raises:
        ValueError: as `render_patient`.
    """
    if root.exists():
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as staging:
        whole = Path(staging) / root.name
        classes = [class_name for class_name, count in sorted(patients.items()) for _ in range(count)]
        for number, class_name in enumerate(classes):
            (whole / class_name).mkdir(parents=True, exist_ok=True)
            stack = render_patient(np.random.default_rng([seed, number]), class_name, slices, size)
            for index, picture in enumerate(stack):
                path = whole / class_name / f"patient_{number:03d}_slice_{index:02d}.png"
                Image.fromarray(picture).save(path, compress_level=0)  # bytes independent of zlib's version
        try:
            whole.rename(root)
        except OSError:
            if not root.is_dir():  # another process may have been quicker with the same pictures
                raise
