"""Waiting for a database of studies that is away, and for how long."""

from __future__ import annotations

import logging
import random
import time

from frostline.errors import FrostlineError
from frostline.text import duration

log = logging.getLogger("frostline")

PATIENCE_S = 600.0
HURRY_S = 5.0


class DatabaseGone(FrostlineError):
    """A database of studies has not answered for long, or is none any more."""


class Patience:
    """One call that is tried again: waits longer each time, and says so once in a process."""

    hurries = False
    """Whether this process is being stopped, and waits for no database any longer than `HURRY_S`."""
    told = False

    def __init__(self) -> None:
        self._began, self._next = time.monotonic(), 0.1

    def wait(self, why: str) -> None:
        """Wait until it is time to try again. Raises `DatabaseGone` after too long."""
        patience = HURRY_S if Patience.hurries else PATIENCE_S
        if time.monotonic() - self._began > patience:
            raise DatabaseGone(
                f"the database of studies has not answered for {duration(patience)} ({why}): when it is back, the same "
                "command goes on"
            ) from None
        if not Patience.told:
            Patience.told = True
            log.warning(f"the database of studies does not answer ({why}): trying again for {duration(PATIENCE_S)}")
        time.sleep(self._next * random.uniform(0.5, 1.0))  # or all that wait would come back at a time
        self._next = min(10.0, 2 * self._next)
