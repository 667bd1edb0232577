"""Progress with time left for work that takes seconds and more; nothing when nobody watches."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO, TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


def progress(items: Sequence[T], what: str) -> Iterable[T]:
    """Go through `items` with a bar on a terminal that disappears at the end."""
    return track(items, what, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


class ScreenHandler(logging.StreamHandler):  # type: ignore[type-arg]  # generic only to type checkers before 3.11
    """Log lines to whatever stdout is now, so that they pass above a bar that has taken it over."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # an attribute there
        return sys.stdout


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
