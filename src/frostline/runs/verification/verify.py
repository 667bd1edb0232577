"""`frostline verify`: a run computed anew from what it wrote down and, where they are there, from its images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from frostline.runs.verification.check import Check, Finding, checks_json, checks_text
from frostline.runs.verification.memory import check_memory
from frostline.runs.verification.recorded import Recorded, read_recorded
from frostline.runs.verification.result_checks import (
    check_facts,
    check_metrics,
    check_predictions,
    other_version,
    predictions_of,
)
from frostline.runs.verification.split_checks import check_drawn, check_files, check_leaks, check_split, find_present


@dataclass(frozen=True)
class Verified:
    """A run and all checks of it."""

    folder: Path
    checks: tuple[Check, ...]
    lookup: dict[str, Any]
    """Figures of the lookup by key; empty where there was none."""

    @property
    def agrees(self) -> bool:
        """Whether nothing differs, as far as could be seen."""
        return not any(c.differs for c in self.checks)


def verify_run(folder: Path, root: Path | None = None) -> Verified:
    """Compute a run anew; `root` is where its data set is now, by default where it was. No network is run.

    Raises `FrostlineError` for a folder that is not there or holds no run.
    """
    recorded = read_recorded(folder)
    with _cache(recorded) as cache_dir:
        present = find_present(recorded, root, cache_dir)
    files, predictions = check_files(recorded, present), predictions_of(recorded)
    memory, lookup = check_memory(recorded, present, predictions)
    checks = (
        _check_folder(recorded),
        files,
        check_split(recorded, present),
        check_drawn(recorded, present, files),
        check_leaks(recorded, present, files),
        check_predictions(recorded),
        check_facts(recorded),
        check_metrics(recorded, predictions),
        memory,
    )
    return Verified(folder, checks, lookup)


def _check_folder(recorded: Recorded) -> Check:
    other = other_version(recorded.environment)
    made = f"; made by {other}, which is not this one" if other and recorded.environment else ""
    return Check("folder", f"the files of the run can be read{made}", tuple(map(Finding, recorded.problems)))


@contextmanager
def _cache(recorded: Recorded) -> Iterator[Path]:
    """The cache of the run's folder of logs where that is there; else one that is gone afterwards."""
    logs_dir = Path(str(recorded.option("logs_dir") or ""))
    if recorded.option("logs_dir") and logs_dir.is_dir():
        yield logs_dir / "cache"
    else:
        with TemporaryDirectory(prefix="frostline-") as folder:
            yield Path(folder)


def verified_text(verified: Verified) -> str:
    """The run, a line a check, and what comes of it."""
    differing = [c.name for c in verified.checks if c.differs]
    unchecked = sum(not c.done for c in verified.checks)
    more = f"; {unchecked} checks could not be made" if unchecked else ""
    result = f"differs: {', '.join(differing)}" if differing else "everything that was checked agrees"
    return f"{verified.folder}\n\n{checks_text(verified.checks)}\n\n{result}{more}"


def verified_json(verified: Verified) -> dict[str, Any]:
    """The same for programs."""
    return {
        "run": str(verified.folder),
        "agrees": verified.agrees,
        "checks": checks_json(verified.checks),
        "lookup": verified.lookup,
    }
