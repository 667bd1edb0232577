"""Progress with time left for work that takes seconds and more; nothing when nobody watches."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import TypeVar

from rich.console import Console
from rich.progress import track
from rich.table import Table

T = TypeVar("T")


def progress(items: Sequence[T], what: str) -> Iterable[T]:
    """Go through `items` with a bar on a terminal that disappears at the end."""
    return track(items, what, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


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
