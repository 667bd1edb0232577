"""Tables that users bring: CSV, the columns under any of the names that people give them."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from frostline.errors import ConfigError

MANIFEST_COLUMNS = ("path", "sha256", "class", "group", "grouped_by", "split")
# Small letters, without spaces, hyphens and underscores: PatientID, patient_id and "Patient ID" are one.
SPELLINGS = {
    "path": ("path", "file", "filename", "filepath", "image", "imagepath", "imagename", "pattern"),
    "class": ("class", "label", "classname", "diagnosis", "category"),
    "patient": (
        *("patient", "patientid", "patientname", "pid", "mrn", "subject", "subjectid", "participant", "participantid"),
        *("case", "caseid", "group"),
    ),
    "true": ("true", "truth", "target", "class", "label", "diagnosis"),
    "split": ("split", "set", "subset", "partition"),
    "group": ("group",),
    "grouped_by": ("groupedby",),
    "sha256": ("sha256",),
}


@dataclass(frozen=True)
class UserTable:
    """Rows of a CSV by our names of its columns, and what each column is called there."""

    file: Path
    columns: dict[str, str]
    rows: tuple[dict[str, str], ...]
    lines: tuple[int, ...]
    """The line in the file where each row ends."""
    names: tuple[str, ...]
    """All columns as they are called there."""

    def place(self, row: int) -> str:
        """Where a row is, for messages."""
        return f"{self.file} line {self.lines[row]}"


def read_table(file: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> UserTable:
    """Read a CSV (UTF-8 with or without BOM; comma, semicolon or tab) with the columns `needed`, and `optional` ones.

    Other columns are left alone. A name without spellings is found however it is spaced and capitalised. Of two
    spellings of one column the first in `SPELLINGS` counts. Raises `ConfigError` for a file that cannot be read,
    lacks a column, or has a row without a value in a needed one.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            head = text.readline()
            text.seek(0)
            delimiter = max(",;\t", key=head.count)
            reader = csv.DictReader(text, delimiter=delimiter, strict=True)
            columns = _columns(reader.fieldnames or (), needed, optional)
            missing = [name for name in needed if name not in columns]
            if missing:
                raise ConfigError(
                    f"{file}: has no column {' and no '.join(f'{m} ({_also(m)})' for m in missing)}; "
                    f"its columns: {', '.join(reader.fieldnames or ()) or 'none'}"
                )
            rows, lines = [], []
            for row in reader:
                values = {name: (row[column] or "").strip() for name, column in columns.items()}
                empty = [columns[name] for name in needed if not values[name]]
                if empty:
                    raise ConfigError(f"{file} line {reader.line_num}: {empty[0]} is empty")
                rows.append(values)
                lines.append(reader.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{file}: cannot be read as CSV in UTF-8 ({error})") from None
    if not rows:
        raise ConfigError(f"{file}: has no rows")
    return UserTable(file, columns, tuple(rows), tuple(lines), tuple(reader.fieldnames or ()))


def _columns(names: Sequence[str], needed: Sequence[str], optional: Sequence[str]) -> dict[str, str]:
    """Our name -> theirs; a column is one thing only."""
    by_name = {_plain(name): name for name in names}
    found: dict[str, str] = {}
    for ours in (*needed, *optional):
        spellings = SPELLINGS.get(ours, (_plain(ours),))
        spelled = [by_name[s] for s in spellings if s in by_name and by_name[s] not in found.values()]
        if spelled:
            found[ours] = spelled[0]
    return found


def _plain(name: str) -> str:
    return re.sub(r"[ _-]", "", name.strip().casefold())


def _also(ours: str) -> str:
    return f"or {', '.join(SPELLINGS[ours][1:])}" if len(SPELLINGS[ours]) > 1 else "exactly so"
