"""Files of a run folder: written whole or not at all, and what the run ran on."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from frostline.errors import FrostlineError, release

CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
ABANDONED_S = 3600.0  # after which a half data set has been left by a writer that was killed
SEAL = hashlib.sha256().digest_size
TORCH_CANNOT_WRITE = ("PytorchStreamWriter", "file write failed", "unexpected pos")


def write_text(path: Path, text: str, private: bool = False) -> None:
    """Write `text` so that a reader, or a kill, meets the old file or the new one, never half of one.

    A `private` one, which names files or patients, is readable by its owner only.
    """
    write_bytes(path, text.encode(), private)


def write_bytes(path: Path, content: bytes, private: bool = False) -> None:
    """As `write_text`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.randbelow(10**12)}")  # processes of two hosts may have one number
    try:
        with open(partial, "wb", opener=_owner_only if private else None) as file:
            file.write(content)
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise


def remove_partial(folder: Path) -> None:
    """Remove what killed writers have left half in a folder in which nobody writes now."""
    for file in folder.glob(".*"):
        if re.fullmatch(r"\..+\.\d+", file.name):
            file.unlink(missing_ok=True)


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def write_sealed(path: Path, content: bytes) -> None:
    """As `write_bytes`, with the checksum of `content` behind it, by which damage is seen."""
    write_bytes(path, content + hashlib.sha256(content).digest())


def read_sealed(path: Path) -> bytes:
    """What `write_sealed` wrote. Raises `ValueError` when it is damaged, OSError when it is not there."""
    check_sealed(path)
    return path.read_bytes()[:-SEAL]


def check_sealed(path: Path) -> None:
    """Raise `ValueError` for a damaged file of `write_sealed`, OSError for one that is not there; reads it in parts."""
    with path.open("rb") as file:
        left, sha = path.stat().st_size - SEAL, hashlib.sha256()
        while left > 0 and (part := file.read(min(left, 1 << 20))):
            sha.update(part)
            left -= len(part)
        if left or file.read() != sha.digest():
            raise ValueError(f"{path} is damaged")


def sync_folder(folder: Path) -> None:
    """Have all files of a folder on the disk itself, so that a power cut leaves them as they are now."""
    for path in (*(file for file in folder.iterdir() if file.is_file()), folder):
        sync_file(path)


def sync_file(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk itself."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def disk_in_a_line(folder: Path) -> Iterator[None]:
    """Tell a full disk, or one that cannot be written to, as `FrostlineError`; partial checkpoints are removed."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        torch_failed = isinstance(error, RuntimeError) and any(words in str(error) for words in TORCH_CANNOT_WRITE)
        if not torch_failed and getattr(error, "errno", None) not in CANNOT_WRITE:
            raise
        release(error)  # its frames hold the file open, and its space with it
        for partial in folder.glob(".*.ckpt*"):
            with suppress(OSError):
                partial.unlink()
        why = getattr(error, "strerror", None) or "a checkpoint could not be written"
        where = Path(getattr(error, "filename", None) or folder).absolute()
        where = where.parent if where.name.startswith(".") else where  # a file on its way to its name
        place = where
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free / 1e6
        raise FrostlineError(
            f"{where}: {why}; {free:,.0f} MB are free there. Make room, or make it writable, and give the same command "
            "again"
        ) from None


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]], private: bool = False) -> None:
    """Write rows under a header, as `write_text` does."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue(), private)


def age_s(path: Path) -> float:
    """Seconds since `path` was written to, by the clock of its disk, as those of hosts that share one may differ."""
    with tempfile.TemporaryFile(dir=path.parent) as now:
        return os.fstat(now.fileno()).st_mtime - path.stat().st_mtime


@contextmanager
def appearing(root: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `root` by one renaming: a killed writer leaves no half data set.

    When another process was quicker with `root`, its folder stays. Raises OSError.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    for left in root.parent.glob(f".{root.name}-*"):
        with suppress(OSError):
            if age_s(left) > ABANDONED_S:
                shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as staging:
        whole = Path(staging) / root.name
        whole.mkdir()
        yield whole
        try:
            whole.rename(root)
        except OSError:
            if not root.is_dir():
                raise


def flat_json(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """`metrics` with NaN and infinities as None, which JSON has no word for."""
    return {
        k: None if isinstance(v, float) and (v != v or v in (float("inf"), float("-inf"))) else v
        for k, v in metrics.items()
    }
