"""Values as words: percent, durations, names of splits."""

from __future__ import annotations

import re


def hide_password(text: str) -> str:
    """`text` with the password of an address in it, `postgresql://user:password@host/name`, as `***`."""
    return re.sub(r"(://[^:/@\s]*):[^@/\s]*@", r"\1:***@", text)


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def percent(value: float) -> str:
    """`92.6 %`, a dash for what is no number."""
    return "-" if value != value else f"{100 * value:.1f} %"


NAMES = {"train": "training", "val": "validation", "test": "test"}
