"""The command of a study."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.integration.studies import Study


@pytest.fixture
def study(logs_dir: Path) -> Study:
    """The command of a study of the tiny network, all of them in one database."""

    def command(name: str, *options: str) -> tuple[str, ...]:
        small = ("model.name=shufflenet_v2_x0_5", "trainer.checkpoint_seconds=1000", "logger=csv")  # 5 MB a checkpoint
        return ("-m", *TINY, *small, f"logs_dir={logs_dir}", f"study={name}", *options)

    return command
