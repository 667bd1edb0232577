"""From files to records: which images a data set holds, their class, checksum, size and patient."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from frostline.data.folders import FolderTask, list_files
from frostline.data.images import UnreadableImage, read_image
from frostline.errors import ConfigError, FrostlineError
from frostline.files import write_text
from frostline.task import Task
from frostline.terminal import progress

THUMBNAIL = 64  # pixels a side


@dataclass(frozen=True)
class Record:
    """One image: path below the root (with `/`), its class, checksum of the file, size, patient."""

    path: str
    label: str
    sha256: str
    height: int
    width: int
    patient: str | None


@dataclass(frozen=True)
class Unreadable:
    """A file that could not be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Scan:
    """What a data set holds, records in the order of their paths."""

    root: Path
    task: Task
    records: tuple[Record, ...]
    unreadable: tuple[Unreadable, ...]


def scan_folder(
    root: Path,
    task: FolderTask,
    *,
    patient_pattern: str | None,
    window: tuple[float, float],
    cache_dir: Path,
) -> Scan:
    """Read every image below `root` once; the class of each is that of its folder.

    Files whose size and times of change are those of an earlier scan (kept in `cache_dir`) are not read again.
    Hidden files are no part of a data set; broken links, and names that are no text, count as unreadable.
    Raises `ConfigError` when folders or images are missing, `FrostlineError` for a folder that may not be read.
    """
    root = root.resolve()
    files = list_files(root, task.folders)
    known_file = cache_dir / f"scan-{_short_hash(f'{root} {window}')}.json"
    known = _read_known(known_file)
    found = {
        path: _read_facts(root / path, window, known.get(path, {}))
        for path in progress(sorted(files), f"reading {root.name}")
    }
    if found != known:
        write_text(known_file, json.dumps(found))
    pattern = re.compile(patient_pattern) if patient_pattern else None
    records, unreadable = [], []
    for path, entry in found.items():
        if "reason" in entry:
            shown = path.encode(errors="backslashreplace").decode()
            unreadable.append(Unreadable(shown, str(entry["reason"])))
        else:
            facts = {key: entry[key] for key in ("sha256", "height", "width")}
            records.append(Record(path, files[path], patient=_patient(pattern, path), **facts))  # type: ignore[arg-type]  # from JSON
    if pattern and records and not any(record.patient for record in records):
        raise ConfigError(
            f"data.patient_pattern={patient_pattern}: fits none of {len(records)} paths, such as {records[0].path}"
        )
    return Scan(root, task.task, tuple(records), tuple(unreadable))


def refuse_unreadable(scan: Scan, on_unreadable: str) -> None:
    """Stop on files that cannot be read, naming up to ten, unless `on_unreadable` is `skip`."""
    if scan.unreadable and on_unreadable == "stop":
        shown = "; ".join(f"{u.path} ({u.reason})" for u in scan.unreadable[:10])
        more = f"; and {len(scan.unreadable) - 10} more" if len(scan.unreadable) > 10 else ""
        raise FrostlineError(
            f"{len(scan.unreadable)} of {len(scan.records) + len(scan.unreadable)} files in {scan.root} "
            f"cannot be read: {shown}{more}. Mend or remove them, or leave them out with data.on_unreadable=skip"
        )


def thumbnails(scan: Scan, window: tuple[float, float]) -> np.ndarray:
    """Thumbnails of all records, float32 [N, 4096] (1.6 GB for 100,000), each with mean 0 and norm 1.

    Flat images have no such thumbnail: theirs is one constant, so they are copies of one another and of nothing else.
    """
    rows = np.zeros((len(scan.records), THUMBNAIL * THUMBNAIL), np.float32)
    for i, record in enumerate(progress(scan.records, "comparing images")):
        image = Image.fromarray(read_again(scan.root / record.path, window))
        row = np.asarray(image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX), np.float64).ravel()
        row = row - row.mean()
        norm = float(np.linalg.norm(row))
        rows[i] = row / norm if norm > 1e-4 else 1 / THUMBNAIL
    return rows


def read_again(file: Path, window: tuple[float, float]) -> np.ndarray:
    """`read_image` of a file that a scan could read. Raises `FrostlineError` naming it when that is no longer so."""
    try:
        return read_image(file, *window)
    except UnreadableImage as error:
        if not file.exists():
            raise FrostlineError(f"{file} is gone: it was there when the data set was listed") from None
        raise FrostlineError(f"{file} can no longer be read ({error}): has the data set changed meanwhile?") from error


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            sha.update(chunk)
    return sha.hexdigest()


def _read_known(file: Path) -> dict[str, dict[str, object]]:
    """What an earlier scan found; nothing when there was none, or its file is damaged."""
    try:
        known = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _read_facts(path: Path, window: tuple[float, float], known: dict[str, object]) -> dict[str, object]:
    try:
        str(path).encode()
        stat = path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]  # ctime: copying may keep the other two
        if known.get("stamp") == stamp and "sha256" in known:  # else unreadable, unless a decoder came meanwhile
            return known
        height, width = read_image(path, *window).shape
        return {"stamp": stamp, "sha256": file_sha256(path), "height": height, "width": width}
    except UnicodeEncodeError:
        return {"reason": "its name is not valid Unicode: rename it"}
    except UnreadableImage as error:
        return {"reason": str(error)}
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        return {"reason": "broken link" if path.is_symlink() else "is gone" if gone else str(error.strerror)}


def _patient(pattern: re.Pattern[str] | None, path: str) -> str | None:
    match = pattern.search(path) if pattern else None
    return match.group(1) if match else None


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
