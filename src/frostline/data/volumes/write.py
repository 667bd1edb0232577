"""From CT volumes to axial slices: DICOM series, NIfTI, MetaImage or NRRD in, 16-bit PNG that keep their HU out."""

from __future__ import annotations

import hmac
import re
import secrets
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from frostline.data.reading import HU_OFFSET_TEXT, PATIENT_TEXT
from frostline.data.volumes.find import find_volumes
from frostline.data.volumes.findings import Choice, Findings, Refused, Volume, run_itk
from frostline.errors import ConfigError, FrostlineError
from frostline.files import appearing, write_bytes, write_csv
from frostline.installation import install_command
from frostline.terminal import progress

HU_OFFSET = 32768  # stored = HU + this
AIR_HU, LOWEST_HU = -200, -4000  # lungs hold lower values than the one, padding outside the scan none below the other
ALL_SLICES = Choice()
SALT_FILE = ".patients-salt"  # beside the folders of the classes, so that a patient has one name in all of them


@dataclass(frozen=True)
class Written:
    """What a call has written, and what a user has to know of it, a line each."""

    folder: Path
    slices: int
    series: int
    patients: int
    notes: tuple[str, ...]


def write_slices(
    source: Path,
    folder: Path,
    choice: Choice = ALL_SLICES,
    patient_pattern: str | None = None,
    skip_refused: bool = False,
) -> Written:
    """Write the axial slices of all CT volumes below `source` as `folder/<patient>_<series>_<0001>.png`.

    The PNG hold HU + 32768, uint16 [H, W], seen as a radiologist does: the patient's right on the left, front up.
    Slices count from feet to head, also those that are not written. Axes are flipped and permuted, nothing is
    resampled. `patients.csv` (path, patient) says who is one patient; ids are hashed with a salt that stays beside
    `folder`, so that a patient has one name in the folders of all classes; whoever has salt and ids can tell them.
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
    volumes = find_volumes(sitk, source, choice, _compile(patient_pattern), findings)
    plan: list[tuple[int, int]] = []
    for index, volume in enumerate(volumes):
        chosen = choice.of(volume.heights)
        plan += [(index, n) for n in chosen]
        if not chosen:
            findings.note("series left out: no slice from --from to --to", volume.where)
    rows, series = [], 0
    try:
        place = folder.absolute()  # of a `.` too
        salt = _salt(place.parent / SALT_FILE)
        with appearing(place) as whole:
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
            write_csv(whole / "patients.csv", ("path", "patient"), sorted(rows), private=True)
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
            f"{written.folder.parent / SALT_FILE} makes the names of patients: delete it before you pass the slices on",
            f"next: the other classes, each in its own folder beside {name}, then frostline data {root}",
        ]
    )


def _write_volume(sitk: Any, volume: Volume, numbers: Iterable[int], folder: Path, stem: str) -> list[str]:
    """Write the slices with these indices and return their names; nothing of a volume that is refused stays."""
    whole = _read_oriented(sitk, volume.files[0], len(volume.heights)) if len(volume.files) == 1 else None
    if whole is not None:
        _check_hu(whole.min(), whole.max())
    text = PngInfo()
    text.add_text(HU_OFFSET_TEXT, str(HU_OFFSET))
    text.add_text(PATIENT_TEXT, stem.split("_")[0])
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
    values: npt.NDArray[Any] = sitk.GetArrayFromImage(sitk.DICOMOrient(run_itk(reader.Execute), "LPS"))
    if values.ndim != 3 or len(values) != slices:
        raise Refused(f"{file.name} holds pixels of shape {values.shape}, expected {slices} slices")
    return values


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


def _salt(file: Path) -> bytes:
    """The salt of earlier calls for folders beside this one, or a new one."""
    if not file.is_file():
        write_bytes(file, secrets.token_bytes(32))
    return file.read_bytes()


def _hash(salt: bytes, kind: str, name: str) -> str:
    return hmac.new(salt, f"{kind} {name}".encode(errors="surrogateescape"), "sha256").hexdigest()


def _simpleitk() -> Any:
    try:
        sitk = import_module("SimpleITK")
    except ImportError:
        raise ConfigError(f"frostline slices needs SimpleITK: {install_command('volumes')}") from None
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # what a user can act on is said in the notes
    return sitk
