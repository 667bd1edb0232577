"""Whose image a file is, and what networks say of a patient out of what they say of the slices."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from frostline.config.tables import read_table
from frostline.data.listed import PathIndex, column_by_path
from frostline.data.reading import ImageFacts, names_nobody
from frostline.errors import ConfigError
from frostline.inference.stream import UNLIKE, Answer, FindPatient


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
        if (named := known.get(file.as_posix())) is not None and not names_nobody(named):
            return named
        if search is not None and (match := search.search(file.as_posix())) and not names_nobody(match[1] or ""):
            return match[1]
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
class OnePatient:
    """What is said of one patient."""

    total: np.ndarray | float = 0.0
    """Sum of the probabilities of slices, [C]."""
    slices: int = 0
    unlike: int = 0
    """Of these, unlike the training images."""
    unread: int = 0
    """Files without an answer."""

    def add(self, answer: Answer) -> None:
        """One more of the files."""
        if answer.probabilities is None:
            self.unread += 1
            return
        self.total = self.total + np.array(answer.probabilities)
        self.slices += 1
        self.unlike += answer.flag == UNLIKE

    @property
    def mean(self) -> np.ndarray | None:
        """Mean probabilities over slices, [C]; None where none was answered."""
        return np.asarray(self.total) / self.slices if self.slices else None


@dataclass
class Patients:
    """Answers by patient, gathered while they pass: a sum for each patient is all that is kept."""

    seen: dict[str, OnePatient] = field(default_factory=dict)

    def gather(self, answers: Iterable[Answer]) -> Iterator[Answer]:
        """The same answers, each counted for its patient where one is known."""
        for answer in answers:
            if answer.patient is not None:
                self.seen.setdefault(answer.patient, OnePatient()).add(answer)
            yield answer
