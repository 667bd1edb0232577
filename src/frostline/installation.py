"""Where frostline lies: in a checkout, or installed from a wheel; and how its programs are started there."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

_PACKAGED = Path(__file__).with_name("conf")  # where a wheel carries it
IS_CHECKOUT = not _PACKAGED.is_dir()
CONF_DIR = Path(__file__).parents[2] / "conf" if IS_CHECKOUT else _PACKAGED
PROGRAM = "python train.py" if IS_CHECKOUT else "python -m frostline.train"
"""How a run is started, for messages."""


def install_command(extra: str) -> str:
    """How to install what only some users need."""
    return f"pip install -e '.[{extra}]'" if IS_CHECKOUT else f"pip install 'frostline[{extra}]'"


def versions() -> str:
    """Our version and those of what a result depends on most, in one line."""
    others = ", ".join(f"{name} {version(name)}" for name in ("lightning", "torch", "torchvision"))
    return f"frostline {version('frostline')} ({others}, Python {platform.python_version()})"
