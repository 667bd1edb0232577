"""DICOM series of axial CT slices, sorted from feet to head."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydicom import dcmread
from pydicom.uid import EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from frostline.data.dicom_kinds import classify
from frostline.data.reading import LeftOut, NoImage, UnreadableImage, names_nobody
from frostline.data.volumes.findings import SAME_HEIGHT, Choice, Findings, Refused, Vector, Volume, note_geometry
from frostline.terminal import progress

ENHANCED = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
HEADER = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "Modality", "ImageType"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "SamplesPerPixel"),
    *("NumberOfFrames", "RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence"),
    *("SeriesDescription", "LossyImageCompression", "DerivationCodeSequence", "SharedFunctionalGroupsSequence"),
)


class Header(NamedTuple):
    """What is needed of one DICOM CT slice."""

    path: Path
    where: str
    patient: str
    study: str
    series: str
    instance: str
    size: tuple[int, int]
    spacing: tuple[float, float]
    axes: Vector
    """Directions of rows and columns in the patient, LPS, [2, 3]."""
    position: Vector
    """Centre of the first pixel, LPS, mm, [3]."""
    fault: str
    """Why its values are not HU; empty when they are."""


def from_dicom(files: Sequence[Path], root: Path, choice: Choice, findings: Findings) -> Iterator[Volume]:
    """Series of CT slices. What only accompanies them (localizers, reports, other modalities) is left out and said."""
    stacks: dict[tuple[str, tuple[int, int]], list[list[Header]]] = defaultdict(list)
    for file in progress(files, "reading DICOM headers"):
        where = file.relative_to(root).as_posix()
        try:
            header = _read_slice_header(file, where, choice.keep, findings)
        except Refused as reason:
            findings.refuse(where, reason)
            continue
        if header is not None:
            alike = stacks[header.series, header.size]
            same = next((stack for stack in alike if np.allclose(stack[0].axes, header.axes, atol=0.01)), None)
            if same is None:
                alike.append([header])
            else:
                same.append(header)
    for (uid, size), alike in stacks.items():
        for number, stack in enumerate(alike):
            try:
                volume = _sorted_volume(stack, f"{uid} {size} {number}", choice.min_slices, findings)
            except Refused as reason:
                findings.refuse(stack[0].where, reason)
                continue
            if volume is not None:
                yield volume


def _read_slice_header(file: Path, where: str, keep: tuple[str, ...], findings: Findings) -> Header | None:
    """None for what is no axial CT slice, which is noted. Raises `Refused`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd values in elements that are not used
            data = dcmread(file, stop_before_pixels=True, specific_tags=list(HEADER))
            kind = _other_kind(data, keep)
            if kind:
                findings.note(f"series left out: {kind}", where, str(data.get("SeriesInstanceUID", where)))
                return None
            patient = str(data.get("PatientID") or "").strip()
            row_mm, column_mm = data.get("PixelSpacing") or (1.0, 1.0)
            return Header(
                *(file, where, "" if names_nobody(patient) else patient, str(data.get("StudyInstanceUID", ""))),
                *(str(data.SeriesInstanceUID), str(data.SOPInstanceUID), (int(data.Rows), int(data.Columns))),
                spacing=(float(row_mm), float(column_mm)),
                axes=np.array(data.ImageOrientationPatient, float).reshape(2, 3),
                position=np.array(data.ImagePositionPatient, float).reshape(3),
                fault=_fault(data),
            )
    except Refused:
        raise
    except Exception as error:  # pydicom raises nearly every type on corrupt files
        raise Refused(f"damaged DICOM ({type(error).__name__}): mend or remove it") from error


def _other_kind(data: Any, keep: tuple[str, ...]) -> str:
    """What a DICOM object is, by the image reader's own rules, when it is no axial CT slice; empty when it is one."""
    if data.SOPClassUID in ENHANCED:
        raise Refused("enhanced DICOM, many slices in a file: convert it, e.g. with dcm4che's emf2sf")
    if int(data.get("NumberOfFrames") or 1) != 1:
        raise Refused("several frames in a file: convert it to one slice a file")
    try:
        classify(data, keep, header_alone=True)
    except LeftOut as reason:
        return reason.kind
    except NoImage as kind:
        return str(kind)
    except UnreadableImage as reason:
        raise Refused(str(reason)) from None
    missing = not data.get("ImageOrientationPatient") or not data.get("ImagePositionPatient")
    return "no position in the patient" if missing else ""


def _fault(data: Any) -> str:
    if data.get("SamplesPerPixel", 1) != 1:
        return "colour, expected grey"
    if (unit := data.get("RescaleType") or "HU") != "HU":
        return f"RescaleType is {unit}, expected HU"
    if "RescaleSlope" not in data or "RescaleIntercept" not in data:
        return "no RescaleSlope and RescaleIntercept, so its values are not HU"
    return ""


def _sorted_volume(stack: list[Header], series: str, min_slices: int, findings: Findings) -> Volume | None:
    """From feet to head; None for a series that is left out, which is noted. Raises `Refused`."""
    axes = stack[0].axes
    normal = np.cross(axes[0], axes[1])
    normal *= np.sign(normal[2])  # towards the head, however the patient lay
    # A file may be there twice; where an anonymiser gave all slices one UID, their positions tell them apart
    stack = list({(header.instance, *header.position.tolist()): header for header in stack}.values())
    stack.sort(key=lambda header: float(header.position @ normal))
    first, heights = stack[0], np.array([header.position @ normal for header in stack])
    steps = np.diff(heights)
    if 1 + (steps > SAME_HEIGHT).sum() < min_slices:
        findings.note(f"series left out: fewer than --min-slices {min_slices}", first.where)
        return None
    if fault := next((header.fault for header in stack if header.fault), ""):
        raise Refused(f"{fault}; export the original series")
    if steps.min() <= SAME_HEIGHT:
        raise Refused("several images at one height (phases or reconstructions): give each a series of its own")
    if np.ptp(steps) > 0.1 * np.median(steps):
        what = f"{first.where} (steps of {steps.min():.3g} to {steps.max():.3g} mm)"
        findings.note("series with slices missing or unevenly spaced", what)
    note_geometry(findings, first.where, np.vstack([axes, normal]).T, first.spacing)
    above = tuple((heights - heights[0]).tolist())
    return Volume(first.where, first.patient, first.study, series, tuple(header.path for header in stack), above)
