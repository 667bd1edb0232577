"""Keeps trackers out of the training's way: a call that fails or hangs costs seconds and one warning."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from frostline.errors import first_line
from frostline.text import hide_password

_log = logging.getLogger("frostline")
_Result = TypeVar("_Result")


class Guard:
    """Makes the calls of one tracked run; what failed once, numbers or media, is not tried again."""

    def __init__(self, tracker: str, timeout: float) -> None:
        self._tracker, self._timeout = tracker, timeout
        self._failed: set[str] = set()

    def call(self, kind: str, action: Callable[[], object]) -> None:
        """Do `action`, or warn once that `kind` is no longer logged."""
        if kind in self._failed:
            return
        try:
            within(self._timeout, action)
        except Exception as error:
            self._failed.add(kind)
            warn(self._tracker, f"logging {kind} failed", error, "training goes on without them")


def within(seconds: float, action: Callable[[], _Result]) -> _Result:
    """Return what `action` returns; raise what it raises, or a timeout error after `seconds`."""
    future: Future[_Result] = Future()

    def work() -> None:
        try:
            future.set_result(action())
        except BaseException as error:  # wandb's teardown may call sys.exit
            future.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    # A daemon: the process can end while the library still hangs.
    threading.Thread(target=work, name="tracker-call", daemon=True).start()
    return future.result(seconds)


def warn(tracker: str, what: str, error: Exception, consequence: str) -> None:
    """One line for a tracker's error, no password of a server's address in it."""
    reason = hide_password(first_line(error)) or type(error).__name__
    _log.warning("%s: %s (%s); %s", tracker, what, reason, consequence)
