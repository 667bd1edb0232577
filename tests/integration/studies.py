"""What the tests look up of a study that was run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

Study = Callable[..., tuple[str, ...]]


def trials(logs_dir: Path, name: str) -> list[FrozenTrial]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.load_study(study_name=name, storage=f"sqlite:///{logs_dir}/studies.db").get_trials()


def tracked_run(folder: Path) -> dict[str, Any]:
    """What wandb's own reader finds in the offline run of a run folder."""
    (offline,) = (folder / "wandb").glob("offline-run-*")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(offline)]
    seen = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    found: dict[str, Any] = json.loads(seen)
    return found


def states(logs_dir: Path, name: str) -> Counter[str]:
    return Counter(t.state.name for t in trials(logs_dir, name))
