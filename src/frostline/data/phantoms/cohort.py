"""Who is in a synthetic data set: the patients, how each was scanned, and which slices stand in which class."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from frostline.data.phantoms.canvas import Field
from frostline.data.phantoms.framing import frame_patient
from frostline.data.phantoms.patients import render_hu

COHORT, SCAN, TONE, NUMBERS = 1, 2, 3, 4  # last word of a seed: one random stream each; 0 would repeat the anatomy's


class Patient(NamedTuple):
    """One patient of a cohort."""

    number: int
    class_name: str
    slices: int
    step: float
    """Distance of neighbouring slices, as of `render_hu`."""
    normal: range
    """Slices before or behind the lesion, which stand in the class `normal`; none for most patients."""

    @property
    def name(self) -> str:
        """`PHANTOM-007`; numbers say nothing of the class."""
        return f"PHANTOM-{self.number:03d}"

    def class_of(self, index: int) -> str:
        """The class that a slice stands in."""
        return "normal" if index in self.normal else self.class_name


def draw_cohort(
    seed: int, patients: Mapping[str, int], slices: tuple[int, int], step: tuple[float, float], shared: int
) -> list[Patient]:
    """Patients in random order, numbered from 0.

    Args:
        seed: of the whole data set.
        patients: number of patients of each class.
        slices: fewest and most slices of a patient.
        step: smallest and largest distance of neighbouring slices, drawn on a logarithmic scale.
        shared: number of patients, not of the class `normal`, some of whose slices stand in `normal`.

    Raises:
        ValueError: no patients, ranges the wrong way round, or too few patients or slices to share.
    """
    if min(patients.values(), default=0) < 1:
        raise ValueError(f"every class needs a patient: {dict(patients)}")
    if not (1 <= slices[0] <= slices[1] and 0 < step[0] <= step[1] < math.inf):
        raise ValueError(f"not from a smaller to a larger number: slices {slices}, step {step}")
    ill = sum(count for class_name, count in patients.items() if class_name != "normal")
    if not 0 <= shared <= ill or (shared and ("normal" not in patients or slices[0] < 2)):
        raise ValueError(f"cannot show {shared} of {ill} patients in 'normal' too, each of at least {slices[0]} slices")
    rng = np.random.default_rng([seed, 0, COHORT])
    classes = [class_name for class_name, count in sorted(patients.items()) for _ in range(count)]
    cohort = []
    for number, place in enumerate(rng.permutation(len(classes))):
        count, distance = int(rng.integers(slices[0], slices[1] + 1)), math.exp(rng.uniform(*np.log(step)))
        split, normal_first = int(rng.integers(1, max(count, 2))), rng.uniform() < 0.5
        normal = range(0)
        if classes[place] != "normal" and shared:
            normal, shared = range(split) if normal_first else range(split, count), shared - 1
        cohort.append(Patient(number, classes[place], count, round(distance, 3), normal))
    return cohort


def scan_patient(seed: int, patient: Patient, size: int) -> Field:
    """The patient's slices as scanned, float64 [slices, size, size] in HU. Raises ValueError as `render_hu`."""
    anatomy = [seed, patient.number]
    hu = render_hu(anatomy, patient.class_name, patient.slices, size, patient.step)
    if patient.normal:
        healthy = slice(patient.normal.start, patient.normal.stop)
        hu[healthy] = render_hu(anatomy, "normal", patient.slices, size, patient.step)[healthy]
    return frame_patient(hu, np.random.default_rng([*anatomy, SCAN]), patient.step)
