"""Studies in one file that only grows, for disks that several machines share: its lock is a file, and no `flock`.

Optuna's journal, which takes the lock of a process that died after half a minute; here a line that a dead writer has
left half is cut off before the next one, and a disk that is away or full is waited for.
"""

from __future__ import annotations

import errno
import functools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage
from optuna.storages.journal._file import get_lock_file

from frostline.errors import first_line
from frostline.search.patience import DatabaseGone, Patience

AWAY = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EHOSTDOWN, errno.ENOSPC, errno.EDQUOT)


def _patient(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def again(self: WholeLines, *args: Any) -> Any:
        patience = Patience()
        while True:
            try:
                return method(self, *args)
            except OSError as error:
                if error.errno not in AWAY:
                    raise DatabaseGone(
                        f"the journal of studies cannot be used any more ({first_line(error)})"
                    ) from None
                patience.wait(first_line(error))

    return again


class WholeLines(JournalFileBackend):
    """A journal in which every line is whole."""

    @_patient
    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append an entry a line, and wait until they are on the disk."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        journal = Path(self._file_path)
        with get_lock_file(self._lock):
            with journal.open("r+b") as file:  # which does not create it anew
                _cut_torn_line(file)
            with journal.open("ab") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]  # a Generator there
        """The entries from one on."""
        return iter(self._read(log_number_from))

    @_patient
    def _read(self, log_number_from: int) -> list[dict[str, Any]]:
        return list(super().read_logs(log_number_from))


def _cut_torn_line(file: BinaryIO) -> None:
    """Cut off what stands behind the last end of a line: its writer died, for the lock is ours."""
    end = size = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 4096)
        file.seek(start)
        at = file.read(end - start).rfind(b"\n")
        if at >= 0:
            end = start + at + 1
            break
        end = start
    if end < size:
        file.truncate(end)


def open_journal(file: Path) -> JournalStorage:
    """Open or create a journal of studies."""
    file.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(WholeLines(str(file), JournalFileOpenLock(str(file))))
