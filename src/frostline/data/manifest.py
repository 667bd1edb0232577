"""The manifest: which file was in which split, with its checksum; every run writes it, data.split=manifest reads it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from frostline.config import CLASSES, FrostlineError
from frostline.data.records import Record, file_sha256
from frostline.data.splits import SPLITS

COLUMNS = ("path", "sha256", "class", "group", "split")


@dataclass(frozen=True)
class Example:
    """One picture in its split: path below the root, checksum, index of the class, group, split."""

    path: str
    sha256: str
    label: int
    group: str
    split: str


def manifest_csv(examples: Sequence[Example]) -> str:
    """The manifest as CSV, rows in the order of `examples`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((e.path, e.sha256, CLASSES[e.label], e.group, e.split) for e in examples)
    return text.getvalue()


def read_manifest(file: Path) -> list[Example]:
    """Read a manifest. Raises `FrostlineError` naming the line that is wrong."""
    with file.open(newline="", encoding="utf-8-sig") as lines:
        rows = csv.DictReader(lines)
        missing = [c for c in COLUMNS if c not in (rows.fieldnames or ())]
        if missing:
            raise FrostlineError(f"{file}: has no column {', '.join(missing)}; a manifest has {', '.join(COLUMNS)}")
        examples = [_example(file, number, row) for number, row in enumerate(rows, start=2)]
    twice = [path for path, count in Counter(e.path for e in examples).items() if count > 1]
    if twice:
        raise FrostlineError(f"{file}: {twice[0]} stands in it more than once; every file has one split")
    for split in SPLITS:
        absent = [
            name for i, name in enumerate(CLASSES) if not any(e.split == split and e.label == i for e in examples)
        ]
        if absent:
            raise FrostlineError(f"{file}: split {split} has no image of class {', '.join(absent)}")
    return examples


def verify_manifest(file: Path, examples: Sequence[Example], root: Path, records: Sequence[Record]) -> None:
    """Refuse a manifest whose files are missing or changed, naming up to ten."""
    known = {r.path: r.sha256 for r in records}
    missing = [e.path for e in examples if e.path not in known and not (root / e.path).is_file()]
    changed = [e.path for e in examples if e.path not in missing and _sha(root, e.path, known) != e.sha256]
    for paths, what in ((missing, "missing"), (changed, "changed")):
        if paths:
            more = f" and {len(paths) - 10} more" if len(paths) > 10 else ""
            raise FrostlineError(f"{file}: {len(paths)} file(s) in {root} {what}: {', '.join(paths[:10])}{more}")


def _sha(root: Path, path: str, known: dict[str, str]) -> str:
    return known.get(path) or file_sha256(root / path)


def _example(file: Path, number: int, row: dict[str, str]) -> Example:
    if row["class"] not in CLASSES:
        raise FrostlineError(f"{file} line {number}: class {row['class']!r} is none of {', '.join(CLASSES)}")
    if row["split"] not in SPLITS:
        raise FrostlineError(f"{file} line {number}: split {row['split']!r} is none of {', '.join(SPLITS)}")
    return Example(row["path"], row["sha256"], CLASSES.index(row["class"]), row["group"], row["split"])
