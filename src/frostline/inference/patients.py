"""Whose image a file is, and what networks say of a patient out of what they say of the slices."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from frostline.config.tables import read_table
from frostline.data.listed import PathIndex, column_by_path
from frostline.data.reading import ImageFacts
from frostline.errors import ConfigError
from frostline.inference.stream import Answer, FindPatient


def patient_finder(files: Sequence[Path], table: Path | None, pattern: str | None) -> FindPatient:
    """Who a file is of: as a table (path, patient) says, else a pattern on the path, else the DICOM header (hashed).

    Raises `ConfigError` for a table or pattern that names none of `files`.
    """
    known: dict[str, str] = {}
    if table is not None:
        rows = read_table(table, ["path", "patient"])
        known, _ = column_by_path(rows, "patient", PathIndex("", [file.as_posix() for file in files]))
    search = _compiled(pattern, files) if pattern is not None else None

    def find(file: Path, facts: ImageFacts) -> str | None:
        if (named := known.get(file.as_posix())) is not None:
            return named
        if search is not None and (match := search.search(file.as_posix())) and match[1]:
            return str(match[1])
        return facts.patient

    return find


def _compiled(pattern: str, files: Sequence[Path]) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"--patient-pattern {pattern}: no regular expression ({error})") from None
    if compiled.groups < 1:
        raise ConfigError(f"--patient-pattern {pattern}: has no group; put brackets around what names the patient")
    if files and not any(compiled.search(file.as_posix()) for file in files):
        raise ConfigError(f"--patient-pattern {pattern}: fits none of {len(files)} paths, such as {files[0]}")
    return compiled


@dataclass
class Patients:
    """Answers by patient, gathered while they pass: a sum for each patient is all that is kept."""

    sums: dict[str, tuple[np.ndarray, int, int]] = field(default_factory=dict)
    """Sum of the probabilities, slices, flagged ones."""

    def gather(self, answers: Iterable[Answer]) -> Iterator[Answer]:
        """The same answers, each counted for its patient where one is known."""
        for answer in answers:
            if answer.patient is not None:
                total, slices, flagged = self.sums.get(answer.patient, (np.zeros(1), 0, 0))
                if answer.probabilities is None:
                    self.sums[answer.patient] = total, slices, flagged + 1
                else:
                    self.sums[answer.patient] = total + np.array(answer.probabilities), slices + 1, flagged
            yield answer

    def means(self) -> Iterator[tuple[str, np.ndarray | None, int, int]]:
        """Of every patient in order of name: mean probabilities over slices (None: all flagged), slices, flagged."""
        for name, (total, slices, flagged) in sorted(self.sums.items()):
            yield name, total / slices if slices else None, slices, flagged
