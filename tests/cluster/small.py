"""Small studies on a cluster, and waiting for what they do."""

from __future__ import annotations

import time
from pathlib import Path

from tests.conftest import TINY


def study(logs_dir: Path, launcher: tuple[str, ...], *options: str) -> tuple[str, ...]:
    """A study of a small network, two trials at a time."""
    small = ("model.name=shufflenet_v2_x0_5", "logger=csv", f"logs_dir={logs_dir}", "study=s", "hydra.sweeper.n_jobs=2")
    return ("-m", *TINY, *small, *launcher, *options)


def wait_for(file: Path, seconds: float = 120) -> None:
    """Wait until a file is there."""
    until = time.monotonic() + seconds
    while not file.is_file():
        assert time.monotonic() < until, f"{file} does not come"
        time.sleep(0.2)
