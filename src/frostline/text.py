"""Values as words: percent, durations, names of splits."""

from __future__ import annotations

import re


def hide_password(text: str) -> str:
    """`text` with the password of an address in it, `postgresql://user:password@host/name`, as `***`."""
    text = re.sub(r"(://[^:/@\s]*):[^\s'\"]*@", r"\1:***@", text)
    return re.sub(r"([?&](?:password|passwd|pwd)=)[^&\s'\"]*", r"\1***", text)


def has_password(address: str) -> bool:
    """Whether an address holds a password."""
    return hide_password(address) != address


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def percent(value: float) -> str:
    """`92.6 %`, a dash for what is no number."""
    return "-" if value != value else f"{round(100 * value, 1) + 0.0:.1f} %"  # no -0.0


def number(value: float, as_percent: bool) -> str:
    """A metric: `92.6 %`, or `0.926`; a dash for what is no number."""
    return percent(value) if as_percent or value != value else f"{value:.3f}"


def interval(low: float, high: float, as_percent: bool = True) -> str:
    """`86.9 to 95.9 %`, or `0.869 to 0.959`."""
    if low != low or high != high:
        return "no interval"
    return f"{100 * low:.1f} to {100 * high:.1f} %" if as_percent else f"{low:.3f} to {high:.3f}"


def with_level(low: float, high: float) -> str:
    """`95 % interval 86.9 to 95.9 %`, or `no interval`."""
    return f"{'95 % interval ' if low == low and high == high else ''}{interval(low, high)}"


def in_order(name: object) -> list[tuple[int, str]]:
    """A key by which names are sorted as people do: trial-2 before trial-10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", str(name))]


def difference(value: float, as_percent: bool) -> str:
    """With its sign: in points, `+1.2`, or `+0.012`."""
    return f"{100 * value:+.1f}" if as_percent else f"{value:+.3f}"


NAMES = {"train": "training", "val": "validation", "test": "test"}
