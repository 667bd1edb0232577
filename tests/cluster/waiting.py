"""Waiting for what others do."""

from __future__ import annotations

import time
from pathlib import Path


def wait_for(file: Path, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not file.is_file():
        assert time.monotonic() < until, f"{file} does not come"
        time.sleep(0.2)
