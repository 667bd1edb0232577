"""Synthetic chest CT: the embedded data set for demonstrations and tests, of no medical use.

A patient is a stack of neighbouring axial slices, painted from simple shapes in Hounsfield units (HU).
Lengths are fractions of the image width; the origin is the image centre, x grows towards the patient's left and y
towards the back, as on a radiologist's screen. A `Field` has the shape [slices, size, size] or broadcasts to it.
All is float64, so that rounding differences between processors stay far below one grey level.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt

from frostline.data.phantoms.canvas import AIR, BONE, FAT, LUNG, MARROW, MUSCLE, Canvas, Field, Line, Traits

BENIGN_RADIUS, MALIGNANT_RADIUS = (0.042, 0.052), (0.08, 0.105)  # of the width; vessels have at most 0.008


class Thorax(NamedTuple):
    """Where a patient's chest lies: centre and radii of the cavity, the spine, signed distances to cavity and skin."""

    x: Field
    y: Field
    rx: Field
    ry: Field
    spine_y: Field
    cavity: Field
    skin: Field


def _merge(a: Field, b: Field, rounding: float) -> Field:
    """Signed distance to the union of two shapes, the corners where they meet rounded."""
    mix = np.clip(0.5 + 0.5 * (b - a) / rounding, 0.0, 1.0)
    return b + (a - b) * mix - rounding * mix * (1 - mix)


def paint_wall(canvas: Canvas, traits: Traits) -> Thorax:
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


def paint_organs(canvas: Canvas, traits: Traits, thorax: Thorax) -> Field:
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


def paint_bones(canvas: Canvas, traits: Traits, thorax: Thorax) -> None:
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


def paint_lesion(canvas: Canvas, traits: Traits, lung: Field, *, malignant: bool) -> None:
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


def paint_consolidation(canvas: Canvas, traits: Traits, lung: Field) -> None:
    """The back of one lung filled, with a wavy front and bronchi that stay open."""
    rng = traits.rng
    side, depth = rng.choice((-1, 1)), traits.draw(0.0, 0.06, 0.004)
    front = canvas.y - depth - 0.012 * np.sin(rng.uniform(25, 45) * canvas.x + rng.uniform(0, 2 * np.pi))
    filled = lung * canvas.cover(-front) * (side * canvas.x > 0)
    canvas.paint(filled, MUSCLE - rng.uniform(20, 60))
    places = np.argwhere(filled.min(axis=0) > 0.5)
    airways: list[Line] = []
    for row, column in places[rng.integers(len(places), size=6)] if len(places) else ():
        x, y = canvas.x[..., column, None] + traits.draw(0, 0, 0.002), canvas.y[:, row, None] + traits.draw(0, 0, 0.002)
        airways.append((x, y, x, y - traits.draw(0.01, 0.03), traits.draw(0.002, 0.004), traits.draw(0.002, 0.004)))
    if airways:
        canvas.paint(filled * canvas.lines(airways), AIR + 60)
