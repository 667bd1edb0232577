"""From files to records: which pictures a data set holds, their class, checksum, size and patient."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from frostline.config.schema import CLASSES, ConfigError, FrostlineError
from frostline.data.images import EXTENSIONS, UnreadableImage, is_image_file, read_image
from frostline.files import write_text
from frostline.terminal import progress

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

    Files whose size and times of change are those of an earlier scan (kept in `cache_dir`) are not read again.
    Hidden files are no part of a data set; broken links, and names that are no text, count as unreadable.
    Raises `ConfigError` when folders or pictures are missing, `FrostlineError` for a folder that may not be read.
    """
    root = root.resolve()
    files = _list_files(root, folders or guess_folders(root))
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
    """Map folders of `root` to classes by the words of their names ("Bengin cases" is benign, "non-malignant" nothing).

    Raises `ConfigError` unless exactly one folder names each class, and no other class beside it.
    """
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    claims = [(name, label) for name in names for label in _named_classes(name)]
    found = dict(claims)
    if sorted(label for _, label in claims) != sorted(CLASSES) or len(found) != len(CLASSES):
        raise ConfigError(
            f"data.root={root}: has the folders {', '.join(names) or '(none)'}; needs one for each of "
            f"{', '.join(CLASSES)}. Map them: 'data.folders={{NAME: benign, NAME: malignant, NAME: normal}}'"
        )
    return found


def thumbnails(scan: Scan, window: tuple[float, float]) -> np.ndarray:
    """Thumbnails of all records, float32 [N, 4096] (1.6 GB for 100,000), each with mean 0 and norm 1.

    Flat pictures have no such thumbnail: theirs is one constant, so they are copies of one another and of nothing else.
    """
    rows = np.zeros((len(scan.records), THUMBNAIL * THUMBNAIL), np.float32)
    for i, record in enumerate(progress(scan.records, "comparing pictures")):
        picture = Image.fromarray(read_again(scan.root / record.path, window))
        row = np.asarray(picture.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX), np.float64).ravel()
        row = row - row.mean()
        norm = float(np.linalg.norm(row))
        rows[i] = row / norm if norm > 1e-4 else 1 / THUMBNAIL
    return rows


def read_again(file: Path, window: tuple[float, float]) -> np.ndarray:
    """`read_image` of a file that a scan could read. Raises `FrostlineError` naming it when that is no longer so."""
    try:
        return read_image(file, *window)
    except UnreadableImage as error:
        raise FrostlineError(f"{file} can no longer be read ({error}): has the data set changed meanwhile?") from error


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            sha.update(chunk)
    return sha.hexdigest()


def check_folders(root: Path, folders: Mapping[str, str]) -> None:
    """Raise what `scan_folder` raises for folders that are missing or hold no pictures, before a file is read."""
    _list_files(root.resolve(), folders or guess_folders(root.resolve()))


def _list_files(root: Path, folders: Mapping[str, str]) -> dict[str, int]:
    files: dict[str, int] = {}
    _refuse_overlaps(folders)
    for folder, name in folders.items():
        if not (root / folder).is_dir():
            there = ", ".join(sorted(e.name for e in root.iterdir() if e.is_dir())) or "none"
            raise ConfigError(f"data.root={root}: has no folder {folder!r} (for {name}); its folders: {there}")
        below = _pictures_below(root / folder)
        if not below:
            raise ConfigError(f"data.root={root}: folder {folder!r} (for {name}) holds no pictures")
        files.update({p.relative_to(root).as_posix(): CLASSES.index(name) for p in below})
    for name in CLASSES:
        if name not in folders.values():
            raise ConfigError(
                f"data.folders: no folder for {name}; map one folder or more to each of {', '.join(CLASSES)}"
            )
    return files


def _refuse_overlaps(folders: Mapping[str, str]) -> None:
    """Every picture has one class, and its path begins at the root."""
    parts = {folder: PurePosixPath(folder).parts for folder in folders}
    for folder, own in parts.items():
        if not own or ".." in own or PurePosixPath(folder).is_absolute():
            raise ConfigError(f"data.folders: {folder!r}: must be a folder below data.root")
        for other, its in parts.items():
            if other != folder and its[: len(own)] == own:
                raise ConfigError(f"data.folders: {other!r} lies in {folder!r}: its pictures would have two classes")


def _pictures_below(folder: Path) -> list[Path]:
    """Pictures at any depth, sorted; links to folders are followed once and never upwards, so that they cannot loop."""

    def refuse(error: OSError) -> None:
        raise FrostlineError(f"{error.filename} cannot be read ({error.strerror})")

    found: list[Path] = []
    met: set[Path] = set()
    for parent, subfolders, files in os.walk(folder, onerror=refuse, followlinks=True):
        here, real = Path(parent), Path(parent).resolve()
        if real in met:
            subfolders.clear()
            continue
        met.add(real)
        subfolders[:] = sorted(
            name for name in subfolders if not _is_hidden(name) and not real.is_relative_to((here / name).resolve())
        )
        found += [here / name for name in files if not _is_hidden(name)]
    return sorted(p for p in found if is_image_file(p) or _is_broken_picture_link(p))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"  # macOS puts "._x.jpg" and __MACOSX into archives


def _is_broken_picture_link(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS and path.is_symlink() and not path.exists()


def _named_classes(folder: str) -> list[str]:
    """Classes that the words of a folder's name stand for: none when it negates them."""
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", folder)}
    if words & {"non", "not", "no", "without", "un", "ab"}:
        return []
    spellings = {"benign": {"benign", "bengin"}, "malignant": {"malignant"}, "normal": {"normal"}}
    return [label for label, known in spellings.items() if words & (known | {f"{word}s" for word in known})]


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
        return {"reason": "broken link" if path.is_symlink() else str(error.strerror)}


def _patient(pattern: re.Pattern[str] | None, path: str) -> str | None:
    match = pattern.search(path) if pattern else None
    return match.group(1) if match else None


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
