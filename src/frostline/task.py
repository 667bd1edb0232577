"""What is told apart: the classes, and the one that must not be missed. It travels with the data and the checkpoint."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from frostline.errors import ConfigError

RESERVED = ("operating", "scaled", "patient")  # beginnings of other keys in metrics.json


@dataclass(frozen=True)
class Task:
    """Names of the classes in the order of their indices; `positive`, if any, has sensitivity and an operating point.

    Raises `ConfigError` for fewer than two classes, one named twice or by a name that no file can bear, and for a
    positive class that is none of them.
    """

    classes: tuple[str, ...]
    positive: str | None = None

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            raise ConfigError(f"data.classes={list(self.classes)}: to tell apart takes two classes or more")
        for name in self.classes:
            if not re.fullmatch(r"\w[\w .()+-]*", name) or name in RESERVED or self.classes.count(name) > 1:
                why = "stands there twice" if self.classes.count(name) > 1 else "cannot be the name of a class"
                raise ConfigError(f"data.classes: {name!r} {why}; letters, digits, spaces and . _ - + ( ) are allowed")
        if self.positive is not None and self.positive not in self.classes:
            raise ConfigError(
                f"data.positive={self.positive}: must be one of the classes ({', '.join(self.classes)}), or null"
            )

    def __len__(self) -> int:
        return len(self.classes)

    def index(self, name: str) -> int:
        """Index of a class."""
        return self.classes.index(name)

    @property
    def positive_index(self) -> int | None:
        """Index of the positive class; None when there is none."""
        return None if self.positive is None else self.index(self.positive)


LUNG = Task(("benign", "malignant", "normal"), "malignant")
"""The task of the report, of the demo, and of folders that are named so."""


def choose_positive(classes: Sequence[str], wanted: str | None) -> str | None:
    """The positive class that `data.positive` means: `auto` is malignant where that is a class, and none elsewhere."""
    if wanted == "auto":
        return next((name for name in classes if name.casefold() == LUNG.positive), None)
    return wanted
