"""Whether a running trial lives: told by locks on the machine where it runs, by its beats in the study on all others.

A lock on a file, which the system lets go of when its process dies, says so at once; but only where this is the same
file under the same kernel as the one that was locked. Everywhere else a trial is taken to live, until its beats have
stood still for a while that somebody watched. No clock is compared with another one.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, Trial

log = logging.getLogger("frostline")

TRIAL_LOCK = ".trial.lock"  # in the folder of a trial
BEAT_S = 20.0
GRACE_S = 240.0  # of beats that stand still, longer than a database is away when it is started again
MOST_GAP_S = 60.0  # between two looks, or what was between them is not known
_LOCK = re.compile(rf"\.locks/sweeper-[\d-]+|trial-\d+/{re.escape(TRIAL_LOCK)}")
BEAT, MARKS = "beat", "marks"  # attributes of a trial
BOOT = Path("/proc/sys/kernel/random/boot_id")


def mark_of(lock: Path, folder: Path) -> dict[str, Any]:
    """What tells others whether they see the same lock, which must be there: kernel, file, and where below `folder`."""
    found = lock.stat()
    return {"file": lock.relative_to(folder).as_posix(), "boot": _boot(), "inode": [found.st_dev, found.st_ino]}


def add_mark(trial: Trial, lock: Path, folder: Path) -> None:
    """Let a trial say by which lock, too, it can be told to live."""
    trial.set_user_attr(MARKS, [*trial.user_attrs.get(MARKS, ()), mark_of(lock, folder)])


def lives_here(marks: Sequence[Mapping[str, Any]], folder: Path) -> bool | None:
    """Whether one of the locks is held; None where that cannot be told from here."""
    held = [_held(mark, folder) for mark in marks]
    if any(held):
        return True
    return None if not held or None in held else False


def _held(mark: Mapping[str, Any], folder: Path) -> bool | None:
    lock = folder / str(mark["file"])
    if mark["boot"] != _boot() or not _boot() or folder.resolve() not in lock.resolve().parents:
        return None
    if not _LOCK.fullmatch(str(mark["file"])):  # to look at a lock is to open it for writing, and a database may lie
        return None
    try:
        found = lock.stat()
    except OSError:
        return None
    return is_held(lock) if [found.st_dev, found.st_ino] == mark["inode"] else None


def is_held(lock: Path) -> bool:
    """Whether a living process holds the lock."""
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


@cache
def _boot() -> str:
    """What this kernel is called since it was started; empty where none says so, and locks tell nothing then."""
    try:
        return BOOT.read_text().strip()
    except OSError:
        return ""


@contextmanager
def beating(trials: Sequence[Trial]) -> Iterator[None]:
    """Write to the study, from a thread, that `trials` live."""
    stop = threading.Event()

    def beat() -> None:
        count = 0
        while True:
            count += 1
            for trial in trials:
                with suppress(Exception):  # it has ended, or the database is away: others wait longer than that
                    trial.set_user_attr(BEAT, [os.getpid(), count])
            if stop.wait(BEAT_S):
                return

    thread = threading.Thread(target=beat, name="beats", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@dataclass(frozen=True)
class _Seen:
    beat: Any
    since: float
    looked: float


class Watch:
    """Looks at running trials again and again, and finds those that have died."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[int, _Seen] = {}

    def dead(self, running: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Those of the running trials that live no more."""
        found = []
        for trial in running:
            lives = lives_here(trial.user_attrs.get(MARKS, ()), self._folder)
            if lives is False or (lives is None and self._stands_still(trial)):
                found.append(trial)
        return found

    def _stands_still(self, trial: FrozenTrial) -> bool:
        now, beat = time.monotonic(), trial.user_attrs.get(BEAT)
        seen = self._seen.get(trial.number)
        if seen is None or seen.beat != beat or now - seen.looked > MOST_GAP_S:
            seen = _Seen(beat, now, now)
        self._seen[trial.number] = replace(seen, looked=now)
        return now - seen.since > GRACE_S
