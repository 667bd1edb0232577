"""What a run ran on: versions, commit, machine, command."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from frostline.config.schema import PRIVATE
from frostline.installation import IS_CHECKOUT
from frostline.text import hide_password

PACKAGES = (
    *("frostline", "torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "hydra-optuna-sweeper"),
    *("omegaconf", "optuna", "wandb", "tensorboard", "mlflow-skinny", "numpy", "scipy", "statsmodels"),
    *("pillow", "pydicom"),
)


def environment_facts() -> dict[str, Any]:
    """Versions, git commit, machine and command of this process; no user, host or path of the data."""
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "command": [Path(sys.argv[0]).name, *(_without_path(word) for word in sys.argv[1:])],
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "packages": versions,
    }


def _without_path(word: str) -> str:
    """A word of the command line as others may read it: a path in it may name people, and says where data are."""
    name, equals, value = hide_password(word).partition("=")
    option = name.lstrip("+")
    if any(option == p or option.startswith(f"{p}.") for p in PRIVATE) or value.lstrip("'\"").startswith("{"):
        return f"{name}=(left out)"
    path = value if equals else name
    if "://" in path or not (os.sep in path or Path(path).exists()):
        return f"{name}{equals}{value}"
    return f"{name}=(a path)" if equals else "(a path)"


def _git(*arguments: str) -> str | None:
    """What git says of the checkout that this package runs from; None outside of one."""
    if not IS_CHECKOUT:  # an environment may lie in a repository of something else
        return None
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
