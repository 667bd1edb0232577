"""The manifest: which file was in which split, with its checksum; every run writes it, data.split=manifest reads it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from frostline.data.records import Record, file_sha256
from frostline.data.splits import SPLITS
from frostline.errors import FrostlineError

COLUMNS = ("path", "sha256", "class", "group", "grouped_by", "split")
NEEDED = ("path", "class", "split")


@dataclass(frozen=True)
class Example:
    """One image in its split: path below the root, checksum, class, group, split, and what the group rests on.

    Checksum, group and `grouped_by` are empty where a manifest says nothing of them.
    """

    path: str
    sha256: str
    label: str
    group: str
    split: str
    grouped_by: str = ""


def manifest_csv(examples: Sequence[Example]) -> str:
    """The manifest as CSV, rows in the order of `examples`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((e.path, e.sha256, e.label, e.group, e.grouped_by, e.split) for e in examples)
    return text.getvalue()


def read_manifest(file: Path, classes: Sequence[str] = ()) -> list[Example]:
    """Read a manifest, BOM and Windows' line ends allowed. Raises `FrostlineError` naming the line that is wrong.

    Classes are `classes`, or those that it names. Group and split are what it says: a group in two splits is allowed,
    for `data.split=random` writes such ones.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines, strict=True)
            missing = [c for c in NEEDED if c not in (rows.fieldnames or ())]
            if missing:
                raise FrostlineError(
                    f"{file}: has no column {', '.join(missing)}; a manifest has {', '.join(NEEDED)}, and may have "
                    "sha256 and group"
                )
            examples = [_example(file, rows.line_num, row, classes) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FrostlineError(f"{file}: cannot be read as CSV in UTF-8 ({error})") from error
    twice = [path for path, count in Counter(e.path for e in examples).items() if count > 1]
    if twice:
        raise FrostlineError(f"{file}: {twice[0]} stands in it more than once; every file has one split")
    named = classes or sorted({e.label for e in examples})
    for split in SPLITS:
        absent = [name for name in named if not any(e.split == split and e.label == name for e in examples)]
        if absent:
            raise FrostlineError(f"{file}: split {split} has no image of class {', '.join(absent)}")
    return examples


def verify_manifest(file: Path, examples: Sequence[Example], root: Path, records: Sequence[Record]) -> None:
    """Refuse a manifest whose files are missing, changed or none of `records`, naming up to ten of each."""
    known = {r.path: r.sha256 for r in records}
    wrong: dict[str, list[str]] = {"missing": [], "changed": [], "not readable, or in no folder of data.folders": []}
    missing, changed, unknown = wrong.values()
    for e in examples:
        if e.path not in known and not (root / e.path).is_file():
            missing.append(e.path)
        elif e.sha256 and (known.get(e.path) or file_sha256(root / e.path)) != e.sha256:
            changed.append(e.path)
        elif e.path not in known:
            unknown.append(e.path)
    found = [f"{len(paths)} {what}: {_first_ten(paths)}" for what, paths in wrong.items() if paths]
    if found:
        raise FrostlineError(f"{file} does not fit the files in {root}: {'; '.join(found)}")


def _first_ten(paths: Sequence[str]) -> str:
    return ", ".join(paths[:10]) + (f" and {len(paths) - 10} more" if len(paths) > 10 else "")


def _example(file: Path, number: int, row: dict[str, str | None], classes: Sequence[str]) -> Example:
    if any(row[column] is None for column in COLUMNS if column in row):
        raise FrostlineError(f"{file} line {number}: has too few columns")
    path, sha256, label, group, grouped_by, split = (row.get(column) or "" for column in COLUMNS)
    if not PurePath(path).parts or PurePath(path).anchor or ".." in PurePath(path).parts:
        raise FrostlineError(f"{file} line {number}: path {path!r} is not below the root of the data set")
    if classes and label not in classes:
        raise FrostlineError(f"{file} line {number}: class {label!r} is none of {', '.join(classes)}")
    if split not in SPLITS:
        raise FrostlineError(f"{file} line {number}: split {split!r} is none of {', '.join(SPLITS)}")
    return Example(PurePosixPath(path).as_posix(), sha256.lower(), label, group, split, grouped_by)
