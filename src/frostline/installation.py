"""Where frostline lies: in a checkout, or installed from a wheel; and how its programs are started there."""

from __future__ import annotations

from pathlib import Path

_PACKAGED = Path(__file__).with_name("conf")  # where a wheel carries it
IS_CHECKOUT = not _PACKAGED.is_dir()
CONF_DIR = Path(__file__).parents[2] / "conf" if IS_CHECKOUT else _PACKAGED
PROGRAM = "python train.py" if IS_CHECKOUT else "python -m frostline.train"
"""How a run is started, for messages."""
