"""Synthetic patients as sets of slices are published: files numbered through a class, and no word of whose they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from frostline.data.phantoms.canvas import Field
from frostline.data.phantoms.cohort import NUMBERS, TONE, Patient, draw_cohort, scan_patient
from frostline.data.phantoms.truth import check_truth_path, is_written, write_truth
from frostline.files import appearing

STRETCH = (5, 35)  # fewest and most numbers that are missing after a patient, as where others' slices were kept back


class _File(NamedTuple):
    """One slice of one patient, by its number in the class."""

    class_name: str
    number: int
    patient: Patient
    slice_index: int

    @property
    def path(self) -> str:
        kind = self.class_name.capitalize()
        return f"{kind} cases/{kind} case ({self.number}).png"


def write_numbered(
    root: Path,
    seed: int,
    patients: Mapping[str, int],
    *,
    truth: Path | None = None,
    slices: tuple[int, int] = (3, 20),
    step: tuple[float, float] = (1.5, 6.0),
    size: int = 512,
    missing: float = 0.03,
    stretches: float = 0.1,
    copies: float = 0.04,
    shared: int = 0,
) -> list[tuple[str, str]]:
    """Write `root/Malignant cases/Malignant case (12).png` and so on, 8-bit grey; leave `root` alone when it exists.

    A class's patients come in random order, each with a run of numbers of its own, the slices upwards or downwards.
    Scans differ in the place and size of the body, the distance of slices and the window, from soft tissue to nearly
    lung. Normalised correlation of 64 x 64 thumbnails, median (5th to 95th percentile), of 10 seeds, 12 patients each,
    128 px: different patients 0.30 (0.08 to 0.55), neighbouring numbers of one patient 0.84 (0.60 to 0.96), numbers 5
    apart 0.71. IQ-OTH/NCCD has 0.26 to 0.44 by class, 0.77 to 0.93, and 0.38 to 0.57.

    Args:
        root: the new data set folder.
        seed: of everything; the same arguments give the same bytes.
        patients: number of patients of each of `PHANTOM_CLASSES`, at least 1.
        truth: a table to write, with columns `file` (below root) and `patient`; outside of `root`.
        slices: fewest and most slices of a patient, before some go missing; one always stays in each class.
        step: smallest and largest distance of neighbouring slices, 1 as in `write_phantoms`.
        size: width and height in pixels.
        missing: share of the numbers, 0 to below 1, whose file is missing.
        stretches: share of the patients, 0..1, after whose first slices a whole stretch of numbers is missing.
        copies: share of the files, 0..1, that there are byte-equal copies of: under the next number or at the end.
        shared: number of patients, not of class `normal`, some of whose slices stand in `normal` too.

    Returns:
        Path below `root`, with slashes, and patient of every file, by class and number.

    Raises:
        ValueError: unknown class, too few patients or slices, a share out of range, or `truth` within `root`.
        FileExistsError: `root` exists and is another data set.
    """
    check_truth_path(truth, root)
    if not (0 <= missing < 1 and 0 <= stretches <= 1 and 0 <= copies <= 1):
        raise ValueError(f"not shares: missing {missing}, stretches {stretches}, copies {copies}")
    cohort = draw_cohort(seed, patients, slices, step, shared)
    rng = np.random.default_rng([seed, 0, NUMBERS])
    files = [file for name in sorted(patients) for file in _number(rng, name, cohort, missing, stretches, copies)]
    owners = [(file.path, file.patient.name) for file in files]
    if is_written(root, owners):
        write_truth(truth, owners)
        return owners
    with appearing(root) as whole:
        for patient in cohort:
            images = _window(scan_patient(seed, patient, size), np.random.default_rng([seed, patient.number, TONE]))
            for file in (file for file in files if file.patient == patient):
                (whole / file.path).parent.mkdir(exist_ok=True)
                Image.fromarray(images[file.slice_index]).save(whole / file.path, compress_level=0)
        write_truth(truth, owners)  # before the images appear: never one without the other
    return owners


def _number(
    rng: np.random.Generator, class_name: str, cohort: list[Patient], missing: float, stretches: float, copies: float
) -> list[_File]:
    """The files of one class, by ascending number."""
    order: list[tuple[Patient, int] | None] = []  # None: the number's file is missing
    for place in rng.permutation(len(cohort)):
        patient = cohort[place]
        run = [index for index in range(patient.slices) if patient.class_of(index) == class_name]
        if not run:
            continue
        if rng.uniform() < 0.5:
            run.reverse()
        lost = rng.uniform(size=len(run)) < missing
        stretch = rng.uniform() < stretches
        if stretch:
            lost[rng.integers(1, len(run) + 1) :] = True  # begins within the patient
        if lost.all():
            lost[0] = False
        order += [None if gone else (patient, index) for index, gone in zip(run, lost, strict=True)]
        if stretch:
            order += [None] * int(rng.integers(STRETCH[0], STRETCH[1] + 1))
    present = [place for place, entry in enumerate(order) if entry is not None]
    copied = sorted(rng.choice(present, round(copies * len(present)), replace=False), reverse=True)
    at_end = []
    for place in copied:  # from the last on, so that the places before stay
        if rng.uniform() < 0.5:
            order.insert(place + 1, order[place])
        else:
            at_end.append(order[place])
    return [_File(class_name, n, *entry) for n, entry in enumerate(order + at_end, start=1) if entry is not None]


def _window(hu: Field, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Grey values in the window that somebody chose for this patient's export."""
    low, high = rng.uniform(-450, 0), rng.uniform(200, 350)
    return np.clip(np.rint((hu - low) * (255 / (high - low))), 0, 255).astype(np.uint8)
