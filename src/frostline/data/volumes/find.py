"""Find the CT volumes below a folder: volume files or DICOM series, and who is the patient of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from frostline.data.listing import files_below, is_hidden
from frostline.data.volumes.dicom_series import from_dicom
from frostline.data.volumes.findings import Choice, Findings, Refused, Volume, note_geometry, run_itk
from frostline.errors import ConfigError, FrostlineError

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd")
ELSE = " (--patient-pattern says it by the path)"


def find_volumes(
    sitk: Any, source: Path, choice: Choice, pattern: re.Pattern[str] | None, findings: Findings
) -> list[Volume]:
    """All volumes below `source` by their headers, in the order of their paths. Raises as `write_slices`."""
    if not source.exists():
        raise ConfigError(f"{source}: no such file or folder; give a volume file, or a folder with DICOM or volumes")
    root = source if source.is_dir() else source.parent
    files = sorted(_files_below(source)) if source.is_dir() else [source]
    stacks = [file for file in files if _is_volume(file)]
    slices = [file for file in files if not _is_volume(file) and _is_dicom(file)]
    if stacks and slices:
        raise ConfigError(
            f"{source}: holds volume files ({stacks[0]}) and DICOM ({slices[0]}), perhaps of the same scans: keep them "
            "in two folders and give one"
        )
    volumes = [
        *_from_files(sitk, stacks, root, choice.min_slices, findings),
        *from_dicom(slices, root, choice, findings),
    ]
    findings.check()
    if not volumes:
        found = "; ".join(findings.lines()) or f"{len(files)} other files"
        raise FrostlineError(f"{source}: no axial CT series ({', '.join(VOLUME_SUFFIXES)} or DICOM): {found}")
    return _name_patients(volumes, root, pattern, findings)


def _name_patients(
    volumes: list[Volume], root: Path, pattern: re.Pattern[str] | None, findings: Findings
) -> list[Volume]:
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
        unnamed = f"study {volume.study}" if volume.study else f"file {root.resolve()}/{volume.where}"
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
            findings.note(f"series left out: fewer than --min-slices {min_slices}", where)
            continue
        note_geometry(findings, where, direction, [mm for i, mm in enumerate(spacing) if i != axis])
        yield Volume(where, "", "", where, (file,), tuple(spacing[axis] * n for n in range(image.GetSize()[axis])))


def _read_header(sitk: Any, file: Path) -> Any:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    run_itk(reader.ReadImageInformation)
    if reader.GetDimension() != 3:
        raise Refused(f"has {reader.GetDimension()} dimensions, expected 3: save the one volume that is meant")
    if reader.GetNumberOfComponents() != 1:
        raise Refused(f"has {reader.GetNumberOfComponents()} values a voxel (colour or vectors): expected one in HU")
    codes = [reader.GetMetaData(k) for k in ("qform_code", "sform_code") if reader.HasMetaDataKey(k)]
    if codes and not any(int(code) for code in codes):
        raise Refused("its qform and sform codes are 0, so nothing says which way is up: save it with its affine")
    return reader


def _files_below(folder: Path) -> Iterator[Path]:
    shown = (path for path in files_below(folder) if not any(map(is_hidden, PurePosixPath(path).parts)))
    return (folder / path for path in shown)


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
