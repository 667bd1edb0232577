"""Progress with time left for work that takes seconds and more; nothing when nobody watches."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


def progress(items: Sequence[T], what: str) -> Iterable[T]:
    """Go through `items` with a bar on a terminal that disappears at the end."""
    return track(items, what, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


class ScreenHandler(logging.Handler):
    """Print log lines to whatever stdout is now, so that they pass above a bar that has taken it over."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        print(self.format(record), flush=True)


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
