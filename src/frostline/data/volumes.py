"""From CT volumes to axial slices: DICOM series, NIfTI, MetaImage or NRRD in, 16-bit PNG that keep their HU out."""

from __future__ import annotations

import hmac
import os
import re
import secrets
import shlex
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom import dcmread
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from frostline.errors import ConfigError, FrostlineError
from frostline.files import write_csv
from frostline.installation import install_command
from frostline.terminal import progress

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd")
HU_OFFSET = 32768  # stored = HU + this
HU_KEY = "frostline:hu-offset"  # PNG text chunk that tells `read_image` so
PATIENT_PATTERN = "(p[0-9a-f]{12})_"
AIR_HU, LOWEST_HU = -200, -4000  # lungs hold lower values than the one, padding outside the scan none below the other
ELSE = " (--patient-pattern says it by the path)"
SAME_HEIGHT = 0.01  # mm
TILT = 1.0  # degrees off the patient's axes from which it is said
ENHANCED = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
Vector = npt.NDArray[np.float64]
HEADER = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "Modality", "ImageType"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "SamplesPerPixel"),
    *("NumberOfFrames", "RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence"),
)


@dataclass(frozen=True)
class Volume:
    """One series, or one volume file. What identifies a patient stays in here: only salted hashes are written."""

    where: str
    """Path below the source, for messages; of a series its lowest slice's."""
    patient: str
    """What names the patient; empty where nothing does."""
    study: str
    series: str
    files: tuple[Path, ...]
    """One a slice from feet to head, or one that holds them all."""
    heights: tuple[float, ...]
    """Of every slice above the lowest one, mm."""


@dataclass(frozen=True)
class Choice:
    """Which slices of a series are written. Raises `ConfigError` when that cannot be."""

    every: int = 1
    """Each n-th, from the lowest in range on."""
    start: float | None = None
    """Height above the lowest slice of the series from which slices are written, mm."""
    stop: float | None = None
    """Height up to which they are, mm."""
    min_slices: int = 5
    """Series with fewer are left out: single views, bolus tracking."""

    def __post_init__(self) -> None:
        """Check."""
        if self.every < 1 or self.min_slices < 2:
            raise ConfigError(f"--every {self.every} --min-slices {self.min_slices}: at least 1, and at least 2")
        if self.start is not None and self.stop is not None and not self.start <= self.stop:
            raise ConfigError(f"--from {self.start:g} --to {self.stop:g}: no slice lies between")

    def of(self, heights: Sequence[float]) -> list[int]:
        """Indices of the slices to write among those at `heights`, mm."""
        low, high = -np.inf if self.start is None else self.start, np.inf if self.stop is None else self.stop
        return [n for n, mm in enumerate(heights) if low - SAME_HEIGHT <= mm <= high + SAME_HEIGHT][:: self.every]


@dataclass(frozen=True)
class Written:
    """What a call has written, and what a user has to know of it, a line each."""

    folder: Path
    slices: int
    series: int
    patients: int
    notes: tuple[str, ...]


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


class Refused(Exception):
    """A series that cannot become slices in HU. The message is the reason and what to do."""


class Findings:
    """Series that are left out, refused or remarkable: told by kind, with their number and one example."""

    def __init__(self, skip_refused: bool) -> None:
        self._skip_refused = skip_refused
        self._found: dict[str, dict[str, str]] = defaultdict(dict)
        self._refused: dict[str, Refused] = {}

    def note(self, what: str, where: str, key: str = "") -> None:
        """Remember it; of what has the same `key`, the first is counted alone."""
        self._found[what].setdefault(key or where, where)

    def refuse(self, where: str, reason: Refused) -> None:
        """Remember it for `check`."""
        self._refused.setdefault(where, reason)
        self.note(f"refused: {reason}", where)

    def check(self) -> None:
        """Raise `FrostlineError` when anything was refused that is not to be left out."""
        if self._refused and not self._skip_refused:
            where, reason = next(iter(self._refused.items()))
            more = f" (and {len(self._refused) - 1} more are refused)" if len(self._refused) > 1 else ""
            raise FrostlineError(f"{where}: {reason}{more}. --skip-refused leaves out what is refused")

    def lines(self) -> tuple[str, ...]:
        """A line for each kind."""
        return tuple(f"{len(of)} {what}, such as {next(iter(of.values()))}" for what, of in self._found.items())


def write_slices(
    source: Path,
    folder: Path,
    choice: Choice = Choice(),
    patient_pattern: str | None = None,
    skip_refused: bool = False,
) -> Written:
    """Write the axial slices of all CT volumes below `source` as `folder/<patient>_<series>_<0001>.png`.

    The PNG hold HU + 32768, uint16 [H, W], seen as a radiologist does: the patient's right on the left, front up.
    Slices count from feet to head, also those that are not written. Axes are flipped and permuted, nothing is
    resampled. `patients.csv` (path, patient) says who is one patient; ids are hashed with a salt that is thrown away.
    The folder appears at once and whole: it is filled beside its place and renamed.

    Args:
        source: a volume file, or a folder with volume files or with DICOM at any depth.
        folder: missing or empty.
        choice: which slices of each series.
        patient_pattern: regular expression on the path below `source` whose first group names the patient, in place
            of PatientID or of the volume file's own name.
        skip_refused: leave out series that are refused, in place of an error.

    Raises:
        ConfigError: an option or folder that cannot be, SimpleITK missing.
        FrostlineError: no CT below `source`, or one that is refused; a disk that is full.
    """
    sitk = _simpleitk()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ConfigError(f"{folder}: is not empty; name a new folder: one call fills one")
    findings = Findings(skip_refused)
    volumes = find_volumes(sitk, source, choice.min_slices, _compile(patient_pattern), findings)
    plan: list[tuple[int, int]] = []
    for index, volume in enumerate(volumes):
        chosen = choice.of(volume.heights)
        plan += [(index, n) for n in chosen]
        if not chosen:
            findings.note("series left out: no slice from --from to --to", volume.where)
    salt, rows, series = secrets.token_bytes(32), [], 0
    try:
        place = folder.absolute()  # of a `.` too
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{place.name}-", dir=place.parent) as staging:
            whole = Path(staging) / place.name
            whole.mkdir()
            for index, jobs in groupby(progress(plan, "writing slices"), key=lambda job: job[0]):
                volume = volumes[index]
                patient = "p" + _hash(salt, "patient", volume.patient)[:12]
                stem = f"{patient}_s{_hash(salt, 'series', volume.series)[:8]}"
                try:
                    names = _write_volume(sitk, volume, [n for _, n in jobs], whole, stem)
                except Refused as reason:
                    findings.refuse(volume.where, reason)
                    findings.check()
                    continue
                rows += [(name, patient) for name in names]
                series += 1
            if not rows:
                raise FrostlineError(f"{source}: no slice to write: {'; '.join(findings.lines())}")
            write_csv(whole / "patients.csv", ("path", "patient"), sorted(rows))
            whole.rename(place)
    except OSError as error:
        raise FrostlineError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return Written(folder, len(rows), series, len({patient for _, patient in rows}), findings.lines())


def written_text(written: Written) -> str:
    """Notes, what was written, and the next command."""
    root, name = shlex.quote(str(written.folder.parent)), written.folder.absolute().name
    return "\n".join(
        [
            *written.notes,
            f"{written.slices} slices of {written.series} series of {written.patients} patients in {written.folder}, "
            "who is who in its patients.csv",
            f"next: the other classes, each in its own folder beside {name}, then "
            f"frostline data {root} 'data.patient_pattern=\"{PATIENT_PATTERN}\"'",
        ]
    )


def find_volumes(
    sitk: Any, source: Path, min_slices: int, pattern: re.Pattern[str] | None, findings: Findings
) -> list[Volume]:
    """All volumes below `source` by their headers, in the order of their paths. Raises as `write_slices`."""
    if not source.exists():
        raise ConfigError(f"{source}: no such file or folder; give a volume file, or a folder with DICOM or volumes")
    root = source if source.is_dir() else source.parent
    files = list(_files_below(source)) if source.is_dir() else [source]
    stacks = [file for file in files if _is_volume(file)]
    slices = [file for file in files if not _is_volume(file) and _is_dicom(file)]
    if stacks and slices:
        raise ConfigError(
            f"{source}: holds volume files ({stacks[0]}) and DICOM ({slices[0]}), perhaps of the same scans: keep them "
            "in two folders and give one"
        )
    volumes = [*_from_files(sitk, stacks, root, min_slices, findings), *_from_dicom(slices, root, min_slices, findings)]
    findings.check()
    if not volumes:
        found = "; ".join(findings.lines()) or f"{len(files)} other files"
        raise FrostlineError(f"{source}: no axial CT series ({', '.join(VOLUME_SUFFIXES)} or DICOM): {found}")
    return _name_patients(volumes, pattern, findings)


def _name_patients(volumes: list[Volume], pattern: re.Pattern[str] | None, findings: Findings) -> list[Volume]:
    """With a patient for each: as `pattern` says, else its PatientID, else its study, else the file itself."""
    named = []
    for volume in volumes:
        match = pattern and pattern.search(volume.where)
        if pattern and not (match and match[1]):
            raise ConfigError(f"--patient-pattern {pattern.pattern}: does not fit {volume.where}")
        if match:
            named.append(replace(volume, patient=match[1]))
            continue
        if not volume.patient and volume.study:
            findings.note(f"series without PatientID: each study is taken for a patient{ELSE}", volume.where)
        elif not volume.patient:
            findings.note(f"volume files: each is taken for a patient of its own{ELSE}", volume.where)
        unnamed = f"study {volume.study}" if volume.study else f"file {volume.where}"
        named.append(replace(volume, patient=volume.patient or unnamed))
    studies = {v.study: v.where for v in volumes if v.patient}
    if pattern is None and len(studies) > 1 and len({v.patient for v in named}) == 1:
        for study, where in studies.items():
            findings.note(f"studies that share their only PatientID: taken for one patient{ELSE}", where, study)
    return named


def _from_files(sitk: Any, files: Sequence[Path], root: Path, min_slices: int, findings: Findings) -> Iterator[Volume]:
    for file in files:
        where = file.relative_to(root).as_posix()
        try:
            image = _read_header(sitk, file)
        except Refused as reason:
            findings.refuse(where, reason)
            continue
        direction, spacing = np.array(image.GetDirection()).reshape(3, 3), image.GetSpacing()
        axis = int(np.abs(direction[2]).argmax())  # of the file that runs from feet to head
        if image.GetSize()[axis] < min_slices:
            findings.note(f"series left out: fewer than {min_slices} slices", where)
            continue
        _note_geometry(findings, where, direction, [mm for i, mm in enumerate(spacing) if i != axis])
        yield Volume(where, "", "", where, (file,), tuple(spacing[axis] * n for n in range(image.GetSize()[axis])))


def _read_header(sitk: Any, file: Path) -> Any:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    _run(reader.ReadImageInformation)
    if reader.GetDimension() != 3:
        raise Refused(f"has {reader.GetDimension()} dimensions, expected 3: save the one volume that is meant")
    if reader.GetNumberOfComponents() != 1:
        raise Refused(f"has {reader.GetNumberOfComponents()} values a voxel (colour or vectors): expected one in HU")
    codes = [reader.GetMetaData(k) for k in ("qform_code", "sform_code") if reader.HasMetaDataKey(k)]
    if codes and not any(int(code) for code in codes):
        raise Refused("its qform and sform codes are 0, so nothing says which way is up: save it with its affine")
    return reader


def _from_dicom(files: Sequence[Path], root: Path, min_slices: int, findings: Findings) -> Iterator[Volume]:
    """Series of CT slices. What only accompanies them (localizers, reports, other modalities) is left out and said."""
    stacks: dict[tuple[str, tuple[int, int]], list[list[Header]]] = defaultdict(list)
    for file in progress(files, "reading DICOM headers"):
        where = file.relative_to(root).as_posix()
        try:
            header = _read_slice_header(file, where, findings)
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
                volume = _sorted_volume(stack, f"{uid} {size} {number}", min_slices, findings)
            except Refused as reason:
                findings.refuse(stack[0].where, reason)
                continue
            if volume is not None:
                yield volume


def _read_slice_header(file: Path, where: str, findings: Findings) -> Header | None:
    """None for what is no axial CT slice, which is noted. Raises `Refused`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd values in elements that are not used
            data = dcmread(file, stop_before_pixels=True, specific_tags=list(HEADER))
            kind = _other_kind(data)
            if kind:
                findings.note(f"series left out: {kind}", where, str(data.get("SeriesInstanceUID", where)))
                return None
            row_mm, column_mm = data.get("PixelSpacing") or (1.0, 1.0)
            return Header(
                *(file, where, str(data.get("PatientID") or "").strip(), str(data.get("StudyInstanceUID", ""))),
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


def _other_kind(data: Any) -> str:
    """What a DICOM object is, when it is no axial CT slice; empty when it may be one."""
    if data.get("Modality") != "CT":
        return f"{data.get('Modality') or 'of no modality'}, no CT"
    if data.SOPClassUID in ENHANCED:
        raise Refused("enhanced DICOM, many slices in a file: convert it, e.g. with dcm4che's emf2sf")
    if data.SOPClassUID != CTImageStorage:
        return f"{data.SOPClassUID.name}, no CT slices"
    if "LOCALIZER" in (data.get("ImageType") or ()):
        return "localizer"
    if not data.get("ImageOrientationPatient") or not data.get("ImagePositionPatient"):
        return "no position in the patient"
    return ""


def _fault(data: Any) -> str:
    if data.get("SamplesPerPixel", 1) != 1 or int(data.get("NumberOfFrames") or 1) != 1:
        return "colour or several frames, expected one grey slice"
    if (unit := data.get("RescaleType") or "HU") != "HU":
        return f"RescaleType is {unit}, expected HU"
    if "RescaleSlope" not in data or "RescaleIntercept" not in data:
        return "no RescaleSlope and RescaleIntercept, so its values are not HU"
    return ""


def _sorted_volume(stack: list[Header], series: str, min_slices: int, findings: Findings) -> Volume | None:
    """From feet to head; None for a series that is left out, which is noted. Raises `Refused`."""
    axes = stack[0].axes
    normal = np.cross(axes[0], axes[1])
    if np.abs(normal).argmax() != 2:
        findings.note("series left out: not axial", stack[0].where)
        return None
    normal *= np.sign(normal[2])  # towards the head, however the patient lay
    # A file may be there twice; where an anonymiser gave all slices one UID, their positions tell them apart
    stack = list({(header.instance, *header.position.tolist()): header for header in stack}.values())
    stack.sort(key=lambda header: float(header.position @ normal))
    first, heights = stack[0], np.array([header.position @ normal for header in stack])
    steps = np.diff(heights)
    if 1 + (steps > SAME_HEIGHT).sum() < min_slices:
        findings.note(f"series left out: fewer than {min_slices} slices", first.where)
        return None
    if fault := next((header.fault for header in stack if header.fault), ""):
        raise Refused(f"{fault}; export the original series")
    if steps.min() <= SAME_HEIGHT:
        raise Refused("several images at one height (phases or reconstructions): give each a series of its own")
    if np.ptp(steps) > 0.1 * np.median(steps):
        what = f"{first.where} (steps of {steps.min():.3g} to {steps.max():.3g} mm)"
        findings.note("series with slices missing or unevenly spaced", what)
    _note_geometry(findings, first.where, np.vstack([axes, normal]).T, first.spacing)
    above = tuple((heights - heights[0]).tolist())
    return Volume(first.where, first.patient, first.study, series, tuple(header.path for header in stack), above)


def _note_geometry(findings: Findings, where: str, direction: Vector, spacing: Sequence[float]) -> None:
    degrees = np.degrees(np.arccos(np.clip(np.abs(direction).max(axis=0).min(), 0, 1)))
    if degrees > TILT:
        what = f"{where} ({degrees:.0f} degrees)"
        findings.note("series turned or tilted against the patient's axes, written as they lie", what)
    if max(spacing) > 1.01 * min(spacing):
        what = f"{where} ({spacing[0]:g} x {spacing[1]:g} mm)"
        findings.note("series with pixels that are not square, written as they are", what)


def _write_volume(sitk: Any, volume: Volume, numbers: Iterable[int], folder: Path, stem: str) -> list[str]:
    """Write the slices with these indices and return their names; nothing of a volume that is refused stays."""
    whole = _read_oriented(sitk, volume.files[0], len(volume.heights)) if len(volume.files) == 1 else None
    if whole is not None:
        _check_hu(whole.min(), whole.max())
    text = PngInfo()
    text.add_text(HU_KEY, str(HU_OFFSET))
    names: list[str] = []
    lowest = np.inf
    try:
        for n in numbers:
            hu = _read_oriented(sitk, volume.files[n], 1)[0] if whole is None else whole[n]
            lowest = min(lowest, hu.min())
            names.append(f"{stem}_{n + 1:04d}.png")
            # Level 6 takes three times as long for 5 % less
            stored = np.clip(np.rint(hu) + HU_OFFSET, 0, 65535).astype(np.uint16)
            Image.fromarray(stored).save(folder / names[-1], pnginfo=text, compress_level=4)
        if whole is None:
            _check_hu(max(lowest, LOWEST_HU), 0)  # a scanner's own padding may lie anywhere below
    except Refused:
        for name in names:
            (folder / name).unlink(missing_ok=True)
        raise
    return names


def _check_hu(low: float, high: float) -> None:
    if not (LOWEST_HU <= low < AIR_HU and high < HU_OFFSET):
        raise Refused(f"values of {low:g} to {high:g} are not HU of a chest, which has air below {AIR_HU} and nothing "
                      f"below {LOWEST_HU}: save it in HU (a mask or a windowed copy is no CT)")  # fmt: skip


def _read_oriented(sitk: Any, file: Path, slices: int) -> npt.NDArray[Any]:
    """[slices, H, W], from feet to head, rows from front to back, columns from the patient's right to the left."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    values: npt.NDArray[Any] = sitk.GetArrayFromImage(sitk.DICOMOrient(_run(reader.Execute), "LPS"))
    if values.ndim != 3 or len(values) != slices:
        raise Refused(f"{file.name} holds pixels of shape {values.shape}, expected {slices} slices")
    return values


def _run(step: Any) -> Any:
    try:
        return step()
    except RuntimeError as error:  # all that SimpleITK raises, over several lines
        raise Refused(
            f"cannot be read ({re.sub(r'.*ERROR: |Reason: |[(]0x[^)]*[)]', '', str(error).splitlines()[-1])})"
        ) from None


def _files_below(folder: Path) -> Iterator[Path]:
    """Files at any depth in the order of their paths; a folder that is met again, through a link, is not entered."""

    def refuse(error: OSError) -> None:
        raise FrostlineError(f"{error.filename} cannot be read ({error.strerror})")

    met: set[Path] = set()
    for parent, subfolders, names in os.walk(folder, onerror=refuse, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        if (real := Path(parent).resolve()) in met:
            subfolders.clear()
            continue
        met.add(real)
        yield from (Path(parent) / name for name in sorted(names) if not name.startswith("."))


def _is_volume(file: Path) -> bool:
    return file.name.lower().endswith(VOLUME_SUFFIXES)


def _is_dicom(file: Path) -> bool:
    """Whatever its name: the magic at byte 128. A DICOMDIR, which lists others, is none."""
    if file.name == "DICOMDIR" or not file.is_file():
        return False
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError as error:
        raise FrostlineError(f"{file} cannot be read ({error.strerror})") from error


def _compile(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"--patient-pattern {pattern}: no regular expression ({error})") from None
    if not compiled.groups:
        raise ConfigError(f"--patient-pattern {pattern}: has no group; put brackets around what names the patient")
    return compiled


def _hash(salt: bytes, kind: str, name: str) -> str:
    return hmac.new(salt, f"{kind} {name}".encode(errors="surrogateescape"), "sha256").hexdigest()


def _simpleitk() -> Any:
    try:
        sitk = import_module("SimpleITK")
    except ImportError:
        raise ConfigError(f"frostline slices needs SimpleITK: {install_command('volumes')}") from None
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # what a user can act on is said in the notes
    return sitk
