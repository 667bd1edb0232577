"""Progress with time left for work that takes seconds and more, on a terminal and in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from typing import TypeVar

from rich.console import Console
from rich.progress import track
from rich.table import Table

from frostline.text import duration

T = TypeVar("T")
LINE_SECONDS = 10.0  # between lines of progress where there is no terminal


def progress(items: Sequence[T], what: str) -> Iterable[T]:
    """Go through `items` with a bar on a terminal that disappears at the end, and a line now and then in a log file."""
    if sys.stderr.isatty():
        return track(items, what, console=Console(stderr=True), transient=True)
    return _progress_lines(items, what)


def _progress_lines(items: Sequence[T], what: str) -> Iterator[T]:
    started = last = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if now - last >= LINE_SECONDS:
            left = (now - started) / done * (len(items) - done) if done else 0.0
            print(f"{what}: {done} of {len(items)}, {duration(left)} left", file=sys.stderr, flush=True)
            last = now
        yield item


class ScreenHandler(logging.Handler):
    """Print log lines to whatever stdout is now, so that they pass above a bar that has taken it over."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        print(self.format(record), flush=True)


def render_table(table: Table, width: int = 120) -> str:
    """A table as plain text."""
    text = StringIO()
    Console(file=text, width=width, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().strip("\n").splitlines())
