"""Answers as rows of a file, written as they come: CSV, or JSON lines by the suffix."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from frostline.errors import FrostlineError
from frostline.inference.patients import Patients
from frostline.inference.stream import UNLIKE, Answer
from frostline.task import Task

SUFFIXES = (".csv", ".jsonl", ".parquet")
AT_ONCE = 1000  # rows that a Parquet file takes together


def row_of(answer: Answer, task: Task, ensemble: bool) -> dict[str, Any]:
    """One answer by column; what is not known is None."""
    p = answer.probabilities
    who = None if answer.patient is None else as_text(answer.patient)
    row: dict[str, Any] = {"path": as_text(answer.path), "patient": who, **_class_columns(p, task)}
    row["entropy"] = None if p is None else round(answer.entropy, 4)
    row["set"] = None if p is None else ";".join(task.classes[i] for i in answer.classes)
    if task.positive is not None:
        row[f"{task.positive}_at_threshold"] = answer.positive
    if ensemble:
        row["disagreement"] = None if answer.disagreement is None else round(answer.disagreement, 3)
    row["unlike"] = None if answer.unlike is None else round(answer.unlike, 3)
    return row | {"seen": answer.seen, "flag": answer.flag}


def as_text(name: str) -> str:
    """A name of a file as it can be written anywhere: bytes that are no UTF-8 as `\\xff`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _class_columns(p: Sequence[float] | None, task: Task) -> dict[str, Any]:
    likeliest = None if p is None else task.classes[max(range(len(p)), key=p.__getitem__)]
    each = {f"p_{name}": None if p is None else round(float(p[i]), 6) for i, name in enumerate(task.classes)}
    return {"predicted": likeliest, **each}


def patient_rows(patients: Patients, task: Task) -> Iterator[dict[str, Any]]:
    """A row a patient: means of the calibrated probabilities over slices."""
    for name, of in sorted(patients.seen.items()):
        p = None if of.mean is None else of.mean.tolist()
        counts = {"slices": of.slices, "unlike": of.unlike, "unread": of.unread}
        yield {"patient": as_text(name), **_class_columns(p, task), **counts}


def check_suffix(out: Path) -> None:
    """Raise `FrostlineError` for a file of a kind that is not written, or where none can be."""
    if out.suffix not in SUFFIXES:
        raise FrostlineError(f"{out}: must end in {', '.join(SUFFIXES)}")
    if out.suffix == ".parquet":
        try:
            import pyarrow  # type: ignore[import-untyped]  # noqa: F401  # whether it is there; it ships no types
        except ImportError:
            raise FrostlineError(f"{out}: Parquet takes pyarrow: pip install 'frostline[parquet]'") from None
    if out.is_dir():
        raise FrostlineError(f"{out}: is a folder; name a file for the answers")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise FrostlineError(f"{out}: cannot be written ({error.strerror})") from None


def write_answers(answers: Iterable[Answer], task: Task, out: Path, ensemble: bool) -> Counter[str]:
    """Write a row an answer; returns how many files have which class, or `flagged`.

    The file has its name once it is whole.
    """
    return write_rows((row_of(answer, task, ensemble) for answer in answers), out)


def write_rows(rows: Iterable[dict[str, Any]], out: Path) -> Counter[str]:
    """Write rows as they come, counted by `predicted`, or `flagged` where nothing is; whole or not at all."""
    count: Counter[str] = Counter()

    def counted() -> Iterator[dict[str, Any]]:
        for row in rows:
            count[row["predicted"] or "flagged"] += 1
            count["unlike"] += row.get("flag") == UNLIKE
            count["seen"] += bool(row.get("seen"))
            yield row

    handle, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
    os.close(handle)
    partial = Path(name)
    try:
        if out.suffix == ".parquet":
            _write_parquet(counted(), partial)
        else:
            with partial.open("w", newline="", encoding="utf-8") as file:
                write = _csv_writer(file) if out.suffix == ".csv" else _json_writer(file)
                for row in counted():
                    write(row)
        partial.chmod(0o600)  # it names files: for its owner alone
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return count


def _write_parquet(rows: Iterator[dict[str, Any]], file: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    writer = None
    try:
        while some := [*islice(rows, AT_ONCE)]:
            schema = pa.schema([(name, _kind_of(name)) for name in some[0]]) if writer is None else writer.schema
            writer = writer or parquet.ParquetWriter(file, schema)
            writer.write_table(pa.Table.from_pylist(some, schema))
    finally:
        if writer is not None:
            writer.close()


def _kind_of(column: str) -> Any:
    """The type of a column, whatever its first rows hold."""
    import pyarrow as pa

    if column.startswith("p_") or column in ("entropy", "disagreement", "unlike"):
        return pa.float64()
    if column in ("slices", "unread"):
        return pa.int64()
    return pa.bool_() if column.endswith("_at_threshold") else pa.string()


def _csv_writer(file: TextIO) -> Any:
    writer = csv.writer(file, lineterminator="\n")
    begun = False

    def write(row: dict[str, Any]) -> None:
        nonlocal begun
        if not begun:
            writer.writerow(row)
            begun = True
        writer.writerow(["" if v is None else str(v).lower() if isinstance(v, bool) else v for v in row.values()])

    return write


def _json_writer(file: TextIO) -> Any:
    return lambda row: file.write(json.dumps(row, ensure_ascii=False) + "\n")
