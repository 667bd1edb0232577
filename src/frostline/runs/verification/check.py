"""A check of `frostline verify`: what was looked at, what differs, and what it could not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SHOWN = 5  # files, or figures, that a line names


@dataclass(frozen=True)
class Finding:
    """What is not as it was written down, and the files that it is about, if any."""

    what: str
    files: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.what}: {few(self.files)}" if self.files else self.what


@dataclass(frozen=True)
class Check:
    """One check of a run."""

    name: str
    says: str
    """What was checked, or, where nothing could be, what would have been."""
    differs: tuple[Finding, ...] = ()
    unseen: tuple[str, ...] = ()
    """What this check could not see, a line each."""
    done: bool = True
    """False where nothing could be checked at all."""
    verdict: bool = True
    """False for what is a finding and can neither agree nor differ."""

    @property
    def state(self) -> str:
        """`differs`, `not checked`, `agrees`, or `found`."""
        if self.differs:
            return "differs"
        return "not checked" if not self.done else "agrees" if self.verdict else "found"


def few(names: Sequence[str], most: int = SHOWN) -> str:
    """The first names, and how many more there are: `a, b, c, d, e and 3 more`."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def checks_text(checks: Sequence[Check]) -> str:
    """A line a check, what differs below it, and at the end what could not be seen."""
    width = max(len(c.name) for c in checks) + 2
    indent = " " * width
    lines = []
    for c in checks:
        lines.append(f"{c.name:<{width}}{'' if c.state == 'found' else c.state + ': '}{c.says}")
        lines += [f"{indent}{finding}" for finding in c.differs[:SHOWN]]
        if len(c.differs) > SHOWN:
            lines.append(f"{indent}and {len(c.differs) - SHOWN} more; --json names them all")
    unseen = list(dict.fromkeys(line for c in checks for line in c.unseen))
    lines += [f"{'not seen' if i == 0 else '':<{width}}{line}" for i, line in enumerate(unseen)]
    return "\n".join(lines)


def checks_json(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """The same for programs, with everything that differs."""
    return [
        {
            "check": c.name,
            "state": c.state,
            "says": c.says,
            "differs": [{"what": f.what, "files": list(f.files)} for f in c.differs],
            "unseen": list(c.unseen),
        }
        for c in checks
    ]
