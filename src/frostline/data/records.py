"""From files to records: which pictures a data set holds, their class, checksum, size and patient."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from frostline.artifacts import write_text
from frostline.config import CLASSES, ConfigError, FrostlineError
from frostline.data.images import UnreadableImage, is_image_file, read_image
from frostline.progress import progress

THUMBNAIL = 64  # pixels a side


@dataclass(frozen=True)
class Record:
    """One picture: path below the root (with `/`), index of its class, checksum of the file, size, patient."""

    path: str
    label: int
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
    records: tuple[Record, ...]
    unreadable: tuple[Unreadable, ...]


def scan_folder(
    root: Path,
    folders: Mapping[str, str],
    *,
    patient_pattern: str | None,
    window: tuple[float, float],
    cache_dir: Path,
) -> Scan:
    """Read every picture below `root` once; `folders` maps folder -> class, empty: found by their names.

    Files whose size and time of change are those of an earlier scan (kept in `cache_dir`) are not read again.
    Raises `ConfigError` when folders or pictures are missing, or two files differ only in how their path is spelt.
    """
    root = root.resolve()
    files = _list_files(root, folders or guess_folders(root))
    known_file = cache_dir / f"scan-{_short_hash(f'{root} {window}')}.json"
    known = json.loads(known_file.read_text()) if known_file.is_file() else {}
    found: dict[str, dict[str, object]] = {}
    for path in progress(sorted(files), f"reading {root.name}"):
        stat = (root / path).stat()
        entry = known.get(path)
        if entry is None or (entry["bytes"], entry["mtime_ns"]) != (stat.st_size, stat.st_mtime_ns):
            entry = {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, **_read_facts(root / path, window)}
        found[path] = entry
    if found != known:
        write_text(known_file, json.dumps(found))
    pattern = re.compile(patient_pattern) if patient_pattern else None
    records, unreadable = [], []
    for path, entry in found.items():
        if "reason" in entry:
            unreadable.append(Unreadable(path, str(entry["reason"])))
        else:
            facts = {key: entry[key] for key in ("sha256", "height", "width")}
            records.append(Record(path, files[path], patient=_patient(pattern, path), **facts))  # type: ignore[arg-type]  # from JSON
    return Scan(root, tuple(records), tuple(unreadable))


def refuse_unreadable(scan: Scan, on_unreadable: str) -> None:
    """Stop on files that cannot be read, naming up to ten, unless `on_unreadable` is `skip`."""
    if scan.unreadable and on_unreadable == "stop":
        shown = "; ".join(f"{u.path} ({u.reason})" for u in scan.unreadable[:10])
        more = f"; and {len(scan.unreadable) - 10} more" if len(scan.unreadable) > 10 else ""
        raise FrostlineError(
            f"{len(scan.unreadable)} of {len(scan.records) + len(scan.unreadable)} files in {scan.root} "
            f"cannot be read: {shown}{more}. Mend or remove them, or leave them out with data.on_unreadable=skip"
        )


def guess_folders(root: Path) -> dict[str, str]:
    """Map folders of `root` to classes by name ("Bengin cases" is benign). Raises `ConfigError` when unclear."""
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    spellings = {"benign": ("benign", "bengin"), "malignant": ("malignant",), "normal": ("normal",)}
    found = {
        name: label
        for name in names
        for label, words in spellings.items()
        if any(re.search(rf"(?<![a-z]){word}", name.lower()) for word in words)
    }
    if sorted(found.values()) != sorted(CLASSES):
        raise ConfigError(
            f"data.root={root}: has the folders {', '.join(names) or '(none)'}; needs one for each of "
            f"{', '.join(CLASSES)}. Map them: 'data.folders={{NAME: benign, NAME: malignant, NAME: normal}}'"
        )
    return found


def thumbnails(scan: Scan, window: tuple[float, float]) -> np.ndarray:
    """Thumbnails of all records, float32 [N, 4096], each with mean 0 and norm 1 (a flat picture: all 0)."""
    rows = np.zeros((len(scan.records), THUMBNAIL * THUMBNAIL), np.float32)
    for i, record in enumerate(progress(scan.records, "comparing pictures")):
        picture = Image.fromarray(read_image(scan.root / record.path, *window))
        row = np.asarray(picture.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX), np.float32).ravel()
        row = row - row.mean()
        norm = float(np.linalg.norm(row))
        rows[i] = row / norm if norm > 1e-6 else 0
    return rows


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            sha.update(chunk)
    return sha.hexdigest()


def _list_files(root: Path, folders: Mapping[str, str]) -> dict[str, int]:
    files: dict[str, int] = {}
    for folder, name in folders.items():
        if not (root / folder).is_dir():
            there = ", ".join(sorted(e.name for e in root.iterdir() if e.is_dir())) or "none"
            raise ConfigError(f"data.root={root}: has no folder {folder!r} (for {name}); its folders: {there}")
        below = [p for p in sorted((root / folder).rglob("*")) if p.is_file() and is_image_file(p)]
        if not below:
            raise ConfigError(f"data.root={root}: folder {folder!r} (for {name}) holds no pictures")
        files.update({p.relative_to(root).as_posix(): CLASSES.index(name) for p in below})
    for name in CLASSES:
        if name not in folders.values():
            raise ConfigError(
                f"data.folders: no folder for {name}; map one folder or more to each of {', '.join(CLASSES)}"
            )
    return files


def _read_facts(path: Path, window: tuple[float, float]) -> dict[str, object]:
    try:
        height, width = read_image(path, *window).shape
    except UnreadableImage as error:
        return {"reason": str(error)}
    return {"sha256": file_sha256(path), "height": height, "width": width}


def _patient(pattern: re.Pattern[str] | None, path: str) -> str | None:
    match = pattern.search(path) if pattern else None
    return match.group(1) if match else None


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
