"""From files to records: which images a data set holds, their class, checksum and facts, and what else lies there."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import secrets
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from frostline.data.images import EXTENSIONS, ImageFacts, LeftOut, NoImage, Reading, UnreadableImage, read_slice
from frostline.data.listing import FolderTask, list_files
from frostline.errors import FrostlineError
from frostline.files import check_sealed, write_bytes, write_sealed, write_text
from frostline.task import Task
from frostline.terminal import progress

THUMBNAIL = 64  # pixels a side
SALT = 32  # bytes
VERSION = 3  # of what a scan keeps: another one reads all files anew


@dataclass(frozen=True)
class Record:
    """One image: path below the root (with `/`), class, checksum and bytes of the file, size in pixels, its facts."""

    path: str
    label: str
    sha256: str
    height: int
    width: int
    bytes: int
    facts: ImageFacts


FIELDS = {True: {"sha256", "height", "width", "bytes", "facts", "stamp"}, False: {"status", "kind", "reason"}}
UNUSED_COLUMNS = ("path", "status", "kind", "reason")


@dataclass(frozen=True)
class Unused:
    """A file that is no image of the data set, and why."""

    path: str
    status: str
    """`no image`, `left out` (an image, but none to train on) or `unreadable`."""
    kind: str
    """What it is, in few words; of an unreadable file empty."""
    reason: str


@dataclass(frozen=True)
class Scan:
    """What a data set holds, records in the order of their paths."""

    root: Path
    task: Task
    records: tuple[Record, ...]
    unused: tuple[Unused, ...]
    thumbnails: np.ndarray
    """uint16 [N, 64, 64], grey 0..65535, of the records in their order."""

    def with_status(self, status: str) -> list[Unused]:
        """The unused files of one status."""
        return [u for u in self.unused if u.status == status]


def scan_folder(root: Path, task: FolderTask, reading: Reading, cache_dir: Path) -> Scan:
    """Read every file below the folders of `task` once; the class of each is that of its folder.

    Files whose size and times of change are those of an earlier scan (kept in `cache_dir`) are not read again.
    Raises `ConfigError` when folders or images are missing, `FrostlineError` for a folder that may not be read.
    """
    root = root.resolve()
    files, outside = list_files(root, task)
    salt = _salt(cache_dir)
    known_file = cache_dir / f"scan-{_short_hash(f'{VERSION} {root} {reading} {salt.hex()}')}.json"
    known = _read_known(known_file)
    rows = _read_thumbnails(cache_dir, known, reading)
    found: dict[str, dict[str, Any]] = {}
    thumbnails: list[np.ndarray] = []
    for path in progress(sorted(files), f"reading {root.name}"):
        entry, thumbnail = _read_entry(root / path, reading, known.get(path, {}), rows.get(path), salt)
        found[path] = entry
        if thumbnail is not None:
            thumbnails.append(thumbnail)
    if found != known or len(rows) < len(thumbnails):
        buffer = io.BytesIO()
        np.save(buffer, _stack(thumbnails))
        with suppress(OSError):  # no room, or no right to: all files are read anew next time
            write_sealed(_thumbnail_file(cache_dir, found, reading), buffer.getvalue())
            write_text(known_file, json.dumps(found), private=True)
    records, unused = [], [_outside(path, reason) for path, reason in outside.items()]
    for path, entry in found.items():
        if "status" in entry:
            unused.append(Unused(_printable(path), entry["status"], entry["kind"], entry["reason"]))
        else:
            values = {key: entry[key] for key in ("sha256", "height", "width", "bytes")}
            records.append(Record(path, files[path], **values, facts=ImageFacts(**entry["facts"])))
    return Scan(root, task.task, tuple(records), tuple(unused), _stack(thumbnails))


def refuse_unreadable(scan: Scan, on_unreadable: str) -> None:
    """Stop on files that cannot be read, naming up to ten, unless `on_unreadable` is `skip`.

    A class of which no file is used is refused in any case, with what its files are.
    """
    unreadable = scan.with_status("unreadable")
    if unreadable and on_unreadable == "stop":
        shown = "; ".join(f"{u.path} ({u.reason})" for u in unreadable[:10])
        more = f"; and {len(unreadable) - 10} more" if len(unreadable) > 10 else ""
        raise FrostlineError(
            f"{len(unreadable)} of {len(scan.records) + len(unreadable)} files in {scan.root} "
            f"cannot be read: {shown}{more}. Mend or remove them, or leave them out with data.on_unreadable=skip"
        )
    absent = [name for name in scan.task.classes if not any(r.label == name for r in scan.records)]
    if absent:
        kinds = Counter(u.kind or "unreadable" for u in scan.unused if u.status != "no image")
        why = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common(5)) or "there are none"
        first = next((u for u in scan.unused if u.status != "no image" and u.reason), None)
        raise FrostlineError(
            f"{scan.root}: of class {', '.join(absent)} no file can be used; left out are {why}"
            + (f", such as {first.path} ({first.reason})" if first else "")
            + ("; data.dicom_keep=[KIND, ...] keeps kinds of DICOM" if first and first.status == "left out" else "")
        )


def read_again(file: Path, reading: Reading) -> np.ndarray:
    """Grey of a file that a scan could read. Raises `FrostlineError` naming it when that is no longer so."""
    try:
        return read_slice(file, reading).grey
    except (UnreadableImage, LeftOut, NoImage) as error:
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


def _printable(path: str) -> str:
    return path.encode(errors="backslashreplace").decode()


def _outside(path: str, reason: str) -> Unused:
    is_image = PurePosixPath(path).suffix.lower() in EXTENSIONS and reason != "hidden"
    return Unused(_printable(path), "left out" if is_image else "no image", reason, "")


def _read_known(file: Path) -> dict[str, dict[str, Any]]:
    """What an earlier scan found; nothing when there was none, or its file is damaged."""
    try:
        known = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    whole = isinstance(known, dict) and all(
        isinstance(e, dict) and FIELDS[_is_used(e)] <= set(e) for e in known.values()
    )
    return known if whole else {}


def _is_used(entry: dict[str, Any]) -> bool:
    return "sha256" in entry


def _read_thumbnails(cache_dir: Path, known: dict[str, dict[str, Any]], reading: Reading) -> dict[str, np.ndarray]:
    """Thumbnails of an earlier scan by path; nothing when their file is gone or damaged."""
    images = [path for path, entry in known.items() if "sha256" in entry]
    file = _thumbnail_file(cache_dir, known, reading)
    try:
        check_sealed(file)
        rows = np.load(file, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return {}
    return dict(zip(images, rows, strict=True)) if len(rows) == len(images) else {}


def _thumbnail_file(cache_dir: Path, found: dict[str, dict[str, Any]], reading: Reading) -> Path:
    content = "".join(entry.get("sha256", "") for entry in found.values())
    return cache_dir / f"thumbnails-{_short_hash(f'{VERSION} {reading} {content}')}.npy"


def _stack(thumbnails: list[np.ndarray]) -> np.ndarray:
    return np.stack(thumbnails) if thumbnails else np.empty((0, THUMBNAIL, THUMBNAIL), np.uint16)


def _read_entry(
    path: Path, reading: Reading, known: dict[str, Any], thumbnail: np.ndarray | None, salt: bytes
) -> tuple[dict[str, Any], np.ndarray | None]:
    """What is to be known of a file, for the scan's own file, and the thumbnail of an image."""
    try:
        str(path).encode()
        stat = path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]  # ctime: copying may keep the other two
        if known.get("stamp") == stamp and (thumbnail is not None or "status" in known):
            return known, thumbnail
        grey, facts = read_slice(path, reading)
        height, width = grey.shape
        small = Image.fromarray(grey).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
        values = {"stamp": stamp, "sha256": file_sha256(path), "height": height, "width": width, "bytes": stat.st_size}
        kept = {level: _salted(getattr(facts, level), salt) for level in ("patient", "study", "series")}
        return values | {"facts": asdict(facts) | kept}, np.rint(np.asarray(small) * 65535).astype(np.uint16)
    except NoImage as error:
        return {"stamp": stamp, "status": "no image", "kind": str(error), "reason": ""}, None
    except LeftOut as error:
        return {"stamp": stamp, "status": "left out", "kind": error.kind, "reason": str(error)}, None
    except UnicodeEncodeError:
        reason = "its name is not valid Unicode: rename it"
    except UnreadableImage as error:
        reason = str(error)  # without a stamp: it is read again, for a decoder may come meanwhile
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        reason = "broken link" if path.is_symlink() else "is gone" if gone else str(error.strerror)
    return {"status": "unreadable", "kind": "", "reason": reason}, None


def _salt(cache_dir: Path) -> bytes:
    """What identifiers are hashed with before they are kept: whoever has the cache alone cannot tell them by trying."""
    file = cache_dir / "salt"
    try:
        if not file.is_file() or len(file.read_bytes()) != SALT:
            write_bytes(file, secrets.token_bytes(SALT), private=True)
        return file.read_bytes()
    except OSError:  # nothing is kept there either
        return _of_this_process()


@cache
def _of_this_process() -> bytes:
    return secrets.token_bytes(SALT)


def _salted(identifier: str | None, salt: bytes) -> str | None:
    return identifier and hmac.digest(salt, identifier.encode(), "sha256").hex()[:16]


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
