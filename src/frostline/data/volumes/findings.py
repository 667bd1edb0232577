"""Volumes: which slices are wanted, what was found, and what of it is left out, refused or remarkable."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline.errors import ConfigError, FrostlineError

SAME_HEIGHT = 0.01  # mm
TILT = 1.0  # degrees off the patient's axes from which it is said
Vector = npt.NDArray[np.float64]


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
    keep: tuple[str, ...] = ()
    """Kinds of DICOM written beside the scanner's own axial CT slices, as `data.dicom_keep`."""

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


def note_geometry(findings: Findings, where: str, direction: Vector, spacing: Sequence[float]) -> None:
    """Note a series that is tilted (`direction`: its axes in columns, LPS, [3, 3]), or whose pixels are oblong, mm."""
    degrees = np.degrees(np.arccos(np.clip(np.abs(direction).max(axis=0).min(), 0, 1)))
    if degrees > TILT:
        what = f"{where} ({degrees:.0f} degrees)"
        findings.note("series turned or tilted against the patient's axes, written as they lie", what)
    if max(spacing) > 1.01 * min(spacing):
        what = f"{where} ({spacing[0]:g} x {spacing[1]:g} mm)"
        findings.note("series with pixels that are not square, written as they are", what)


def run_itk(step: Any) -> Any:
    """Call a step of SimpleITK's. Raises `Refused` with its reason on one line."""
    try:
        return step()
    except RuntimeError as error:  # all that SimpleITK raises, over several lines
        raise Refused(
            f"cannot be read ({re.sub(r'.*ERROR: |Reason: |[(]0x[^)]*[)]', '', str(error).splitlines()[-1])})"
        ) from None
