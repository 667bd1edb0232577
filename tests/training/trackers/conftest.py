"""Small real runs that trackers listen to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from frostline.config.compose import compose_config
from frostline.data.manifest import read_manifest
from frostline.training.recipe import train_once
from tests.conftest import TINY

EPOCHS = 3
Train = Callable[..., dict[str, Any]]


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """Trains into `tmp_path`/logs/runs/run; returns the metrics. `stop_at`: an epoch after which it breaks off."""

    def run(logger: str, *options: str, stop_at: int = EPOCHS) -> dict[str, Any]:
        small = ("model.name=shufflenet_v2_x0_5", "data.phantom.patients=3", f"trainer.max_epochs={EPOCHS}")
        tags = ("logger.tags=[pilot]", f"logger={logger}", f"logs_dir={tmp_path / 'logs'}")

        def break_off(epoch: dict[str, float]) -> bool:
            if int(epoch["epoch"]) == stop_at:
                raise RuntimeError("broken off")
            return False

        return train_once(compose_config((*TINY, *small, *tags, *options)), tmp_path / "logs/runs/run", break_off)

    return run


def names_in_manifest(run_dir: Path) -> list[bytes]:
    """Names of the images' files, which no tracker may hold."""
    return [Path(example.path).stem.encode() for example in read_manifest(run_dir / "manifest.csv")]
