"""Looks at test sets: whoever evaluates one writes it down, for all runs and studies in a folder of logs together."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from filelock import FileLock

from frostline.data.manifest import Example, read_manifest
from frostline.errors import FrostlineError
from frostline.files import write_csv
from frostline.runs.folder import RunFolder

FILE = "test_evaluations.csv"
COLUMNS = ("test set", "run")


def name_test_set(examples: Iterable[Example]) -> str:
    """Twelve hexadecimal digits that stand for the test images among `examples`, in whatever order."""
    images = sorted(e.sha256 for e in examples if e.split == "test")
    return hashlib.sha256("\n".join(images).encode()).hexdigest()[:12]


def read_test_set(run_dir: Path) -> str | None:
    """The test set of a run, evaluated or not, by its manifest; None when that is gone."""
    try:
        return name_test_set(read_manifest(RunFolder(run_dir).manifest))
    except FrostlineError:
        return None


def record_use(logs_dir: Path, run_dir: Path, test_set: str, times: int = 1) -> int:
    """Write down that a run evaluates `test_set`; returns how often runs have.

    A run that was stopped and gone on with counts once, one that was finished and given more epochs so many `times`.
    """
    file, look = logs_dir / FILE, [test_set, str(run_dir.resolve())]
    logs_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name(f".{FILE}.lock")):  # several trials may end at once
        looks = _read(file)
        missing = times - looks.count(look)
        if missing > 0:
            looks += [look] * missing
            write_csv(file, COLUMNS, looks)
    return sum(seen == test_set for seen, _ in looks)


def count_uses(logs_dir: Path, test_sets: Collection[str | None]) -> Counter[str]:
    """How often runs that log to `logs_dir` have evaluated each of `test_sets`."""
    return Counter(test_set for test_set, _ in _read(logs_dir / FILE) if test_set in test_sets)


def users_of(logs_dir: Path, test_sets: Collection[str | None]) -> Counter[str]:
    """How often each study that logs to `logs_dir` has evaluated one of `test_sets`, by the name of its folder."""
    return Counter(Path(run).parent.name for test_set, run in _read(logs_dir / FILE) if test_set in test_sets)


def uses_in_words(looks: Counter[str], users: Counter[str] | None = None) -> str:
    """`never evaluated`, `evaluated once`, `evaluated 3 times (all-final 3)`; of several test sets all together."""
    times, test_sets = looks.total(), sum(count > 0 for count in looks.values())
    words = {0: "never evaluated", 1: "evaluated once"}.get(times, f"evaluated {times} times")
    by = f" ({', '.join(f'{name} {count}' for name, count in sorted(users.items()))})" if users else ""
    return f"{words}{by}" if test_sets < 2 else f"{words}{by}, {test_sets} different test sets in all"


def _read(file: Path) -> list[list[str]]:
    if not file.is_file():
        return []
    with file.open(newline="") as lines:
        return [row for row in csv.reader(lines) if len(row) == len(COLUMNS)][1:]
