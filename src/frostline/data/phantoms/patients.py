"""Synthetic patients: rendered in a lung window, written as a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from frostline.data.phantoms.canvas import Canvas, Field, Traits
from frostline.data.phantoms.thorax import paint_bones, paint_consolidation, paint_lesion, paint_organs, paint_wall
from frostline.files import appearing

PHANTOM_CLASSES = ("benign", "malignant", "normal", "consolidation")
WINDOW_HU = (-1050.0, 300.0)  # a lung window, wide enough to tell bone from muscle
VERSION = 1  # of the images: another one is another data set


def render_hu(
    seed: int | Sequence[int] | np.random.Generator, class_name: str, slices: int, size: int, step: float = 1.0
) -> Field:
    """Neighbouring axial slices of one synthetic patient, float64 [slices, size, size] in HU, noise included.

    Args:
        seed: what `np.random.default_rng` takes; a generator gives the same patient only when freshly made.
        class_name: one of `PHANTOM_CLASSES`.
        slices: number of slices, at least 1.
        size: width and height in pixels, at least 32.
        step: distance of neighbouring slices, 1 as `render_patient` has them; the farther, the less alike they are.

    Raises:
        ValueError: unknown class, no slices, too small an image or no distance.
    """
    return _render(seed, class_name, slices, size, step)[0]


def render_patient(
    seed: int | Sequence[int] | np.random.Generator, class_name: str, slices: int, size: int
) -> NDArray[np.uint8]:
    """Neighbouring axial slices of one synthetic patient, [slices, size, size], in a lung window.

    Anatomy, lesion and noise have random streams of their own: with the same seed, classes differ in the lesion alone.
    Arguments and errors are those of `render_hu`.
    """
    image, tone_rng = _render(seed, class_name, slices, size, step=1.0)
    (low, high), gain, offset = WINDOW_HU, tone_rng.uniform(0.94, 1.06), tone_rng.uniform(-40, 40)
    grey = (gain * image + offset - low) * (255 / (high - low))
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def _render(
    seed: int | Sequence[int] | np.random.Generator, class_name: str, slices: int, size: int, step: float
) -> tuple[Field, np.random.Generator]:
    """The stack in HU, and the random stream that its noise came from, for what the scanner draws next."""
    if class_name not in PHANTOM_CLASSES:
        raise ValueError(f"unknown phantom class {class_name!r}; there are {', '.join(PHANTOM_CLASSES)}")
    if slices < 1 or size < 32:
        raise ValueError(f"a phantom needs at least 1 slice of 32 pixels, not {slices} of {size}")
    if not 0 < step < np.inf:
        raise ValueError(f"slices need a distance above 0, not {step}")
    anatomy_rng, lesion_rng, noise_rng = np.random.default_rng(seed).spawn(3)
    canvas = Canvas(slices, size, step)
    traits = Traits(anatomy_rng, canvas.z)
    thorax = paint_wall(canvas, traits)
    lung = paint_organs(canvas, traits, thorax)
    paint_bones(canvas, traits, thorax)
    if class_name == "consolidation":
        paint_consolidation(canvas, Traits(lesion_rng, canvas.z), lung)
    elif class_name != "normal":
        paint_lesion(canvas, Traits(lesion_rng, canvas.z), lung, malignant=class_name == "malignant")
    # A scanner's noise is correlated over neighbouring pixels, hardly between slices
    noise = gaussian_filter(noise_rng.standard_normal(canvas.hu.shape), (0.3, 0.004 * size, 0.004 * size))
    canvas.hu += noise * (noise_rng.uniform(15, 50) / noise.std())
    return canvas.hu, noise_rng


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
        ValueError: as `render_hu`.
    """
    if root.exists():
        return
    with appearing(root) as whole:
        classes = [class_name for class_name, count in sorted(patients.items()) for _ in range(count)]
        for number, class_name in enumerate(classes):
            (whole / class_name).mkdir(exist_ok=True)
            stack = render_patient(np.random.default_rng([seed, number]), class_name, slices, size)
            for index, image in enumerate(stack):
                path = whole / class_name / f"patient_{number:03d}_slice_{index:02d}.png"
                Image.fromarray(image).save(path, compress_level=0)  # bytes independent of zlib's version
