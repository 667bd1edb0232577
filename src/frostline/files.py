"""Files of a run folder: written whole or not at all, and what the run ran on."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    *("frostline", "torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "hydra-optuna-sweeper"),
    *("omegaconf", "optuna", "wandb", "numpy", "scipy", "statsmodels", "pillow", "pydicom"),
)


def write_text(path: Path, text: str) -> None:
    """Write `text` so that a reader, or a kill, meets the old file or the new one, never half of one."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """As `write_text`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write rows under a header, as `write_text` does."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def describe_environment() -> dict[str, Any]:
    """Versions, git commit, machine and command of this process; no user, host or path of the data."""
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "command": [Path(sys.argv[0]).name, *(hide_password(word) for word in sys.argv[1:])],
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "packages": versions,
    }


def hide_password(text: str) -> str:
    """`text` with the password of an address in it, `postgresql://user:password@host/name`, as `***`."""
    return re.sub(r"(://[^:/@\s]*):[^@/\s]*@", r"\1:***@", text)


def _git(*arguments: str) -> str | None:
    """What git says of the checkout that this package runs from; None outside of one."""
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def flat_json(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """`metrics` with NaN and infinities as None, which JSON has no word for."""
    return {
        k: None if isinstance(v, float) and (v != v or v in (float("inf"), float("-inf"))) else v
        for k, v in metrics.items()
    }
