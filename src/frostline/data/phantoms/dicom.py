"""Synthetic patients as DICOM, with what else lies in a real download."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydicom.dataset import Dataset

from frostline.data.phantoms.cohort import draw_cohort
from frostline.data.phantoms.dicom_objects import LOWEST_HU, Study
from frostline.data.phantoms.dicomdir import write_dicomdir
from frostline.data.phantoms.truth import check_truth_path, is_written, write_truth
from frostline.files import appearing

EXTRAS = ("localizer", "pet", "capture", "report", "dicomdir")


def write_dicom(
    root: Path,
    seed: int,
    patients: Mapping[str, int],
    slices: int,
    size: int,
    *,
    truth: Path | None = None,
    layout: Literal["flat", "series"] = "flat",
    intercept: int = LOWEST_HU,
    step: tuple[float, float] = (1.5, 6.0),
    shared: int = 0,
    extras: Collection[str] = (),
) -> list[tuple[str, str]]:
    """Write `root/Malignant/<SOP Instance UID>.dcm` and so on, one series of CT a patient, explicit VR little endian.

    Headers are full and consistent: patient, study, series, position, spacing, rescale; every UID follows from the
    arguments. A patient that stands in two classes has one series, in both folders.

    Args:
        root: the new data set folder; left alone when it exists.
        seed: of everything; the same arguments give the same bytes.
        patients: number of patients of each of `PHANTOM_CLASSES`, at least 1.
        slices: CT slices of each patient.
        size: width and height in pixels.
        truth: a table to write, with columns `file` (below root) and `patient`; outside of `root`.
        layout: `flat`: all files in the folder of their class; `series`: below it in PatientID/SeriesInstanceUID.
        intercept: of the rescale, slope 1: -1024 stores unsigned values from 0 to 4095, 0 stores HU, signed.
        step: smallest and largest distance of neighbouring slices, drawn for each patient, in 2.5 mm.
        shared: number of patients, not of class `normal`, some of whose slices stand in `normal` too.
        extras: what else every patient has: `localizer`, in the series of the slices; `pet`, a series that follows the
            slices one by one; `capture`, derived and secondary; `report`, an SR object without pixels. And `dicomdir`,
            once, in `root`, which names the files by their places before they were sorted into classes.

    Returns:
        Path below `root`, with slashes, and PatientID of every CT slice; of none of the extras.

    Raises:
        ValueError: unknown class, extra, layout or intercept, too few patients or slices, or `truth` within `root`.
        FileExistsError: `root` exists and is another data set.
    """
    check_truth_path(truth, root)
    if unknown := set(extras) - set(EXTRAS):
        raise ValueError(f"unknown extras {sorted(unknown)}; there are {', '.join(EXTRAS)}")
    if layout not in ("flat", "series") or intercept not in (LOWEST_HU, 0):
        raise ValueError(f"layout is flat or series, not {layout!r}; intercept {LOWEST_HU} or 0, not {intercept}")
    cohort = draw_cohort(seed, patients, (slices, slices), step, shared)
    studies = [Study(patient, seed, size, intercept) for patient in cohort]
    owners = sorted(
        (_path(layout, s.patient.class_of(n), s.patient.name, s.series_uid(), s.slice_uid(n)), s.patient.name)
        for s in studies
        for n in range(slices)
    )
    if is_written(root, owners):
        write_truth(truth, owners)
        return owners
    listed: list[Dataset] = []
    with appearing(root) as whole:
        while studies:
            study = studies.pop(0)  # let go of with its images
            for class_name, data in _objects(study, extras):
                path = whole / _path(layout, class_name, data.PatientID, data.SeriesInstanceUID, data.SOPInstanceUID)
                path.parent.mkdir(parents=True, exist_ok=True)
                data.save_as(path, enforce_file_format=True)
                data.pop("PixelData", None)
                listed.append(data)
        if "dicomdir" in extras:
            write_dicomdir(whole / "DICOMDIR", listed)
        write_truth(truth, owners)  # before the images appear: never one without the other
    return owners


def _path(layout: str, class_name: str, patient: str, series: str, instance: str) -> str:
    """Where an object lies below the root."""
    between = f"{patient}/{series}/" if layout == "series" else ""
    return f"{class_name.capitalize()}/{between}{instance}.dcm"


def _objects(study: Study, extras: Collection[str]) -> Iterator[tuple[str, Dataset]]:
    """All objects of a study, each with the class whose folder it stands in."""
    patient = study.patient
    for index in range(patient.slices):
        yield patient.class_of(index), study.slice(index)
    if "localizer" in extras:
        yield patient.class_name, study.localizer()
    if "pet" in extras:
        yield from ((patient.class_of(index), study.pet(index)) for index in range(patient.slices))
    if "capture" in extras:
        yield patient.class_name, study.capture()
    if "report" in extras:
        yield patient.class_name, study.report()
