"""The manifest: which file was in which split, with its checksum; every run writes it, data.split=manifest reads it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from frostline.config.tables import MANIFEST_COLUMNS, read_table
from frostline.data.listing import published_split
from frostline.data.records import Record, file_sha256
from frostline.data.splits import SPLITS
from frostline.data.subgroup_columns import Columns
from frostline.errors import FrostlineError

NEEDED, OPTIONAL = ("path", "class", "split"), ("sha256", "group", "grouped_by")


@dataclass(frozen=True)
class Example:
    """One image in its split: path below the root, checksum, class, group, split, and what the group rests on.

    Checksum, group and `grouped_by` are empty where a manifest says nothing of them. `columns` are those of
    `data.subgroups` with their values.
    """

    path: str
    sha256: str
    label: str
    group: str
    split: str
    grouped_by: str = ""
    columns: Columns = ()


def manifest_csv(examples: Sequence[Example]) -> str:
    """The manifest as CSV, rows in the order of `examples`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*MANIFEST_COLUMNS, *(column for e in examples[:1] for column, _ in e.columns)])
    for e in examples:
        writer.writerow([e.path, e.sha256, e.label, e.group, e.grouped_by, e.split, *(value for _, value in e.columns)])
    return text.getvalue()


def read_manifest(file: Path, classes: Sequence[str] = (), columns: Sequence[str] = ()) -> list[Example]:
    """Read a manifest, as `read_table` reads any table. Raises `FrostlineError` naming the line that is wrong.

    Classes are `classes`, or those that it names; of the other `columns` it gives those that it has. Group and
    split are what it says: a group in two splits is allowed, for `data.split=random` writes such ones.
    """
    table = read_table(file, NEEDED, (*OPTIONAL, *columns))
    there = [column for column in columns if column in table.columns]
    examples = [_example(table.place(i), row, classes, there) for i, row in enumerate(table.rows)]
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


def _example(place: str, row: Mapping[str, str], classes: Sequence[str], columns: Sequence[str]) -> Example:
    path, label = row["path"], row["class"]
    if not PurePath(path).parts or PurePath(path).anchor or ".." in PurePath(path).parts:
        raise FrostlineError(f"{place}: path {path!r} is not below the root of the data set")
    if classes and label not in classes:
        raise FrostlineError(f"{place}: class {label!r} is none of {', '.join(classes)}")
    split = published_split(f"{row['split']}/x")
    if split is None:
        raise FrostlineError(f"{place}: split {row['split']!r} is none of {', '.join(SPLITS)}")
    sha256, group, grouped_by = (row.get(name, "") for name in OPTIONAL)
    more = tuple((column, row[column]) for column in columns)
    return Example(PurePosixPath(path).as_posix(), sha256.lower(), label, group, split, grouped_by, more)
