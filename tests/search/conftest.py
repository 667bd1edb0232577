"""A database of studies, and calls of a sweep on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frostline.search.queue import TrialQueue
from frostline.search.study import Plan, begin_study


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/studies.db"


@pytest.fixture
def call(url: str, tmp_path: Path) -> Iterator[Any]:
    """A call of the sweep: an queue whose lock is held until it dies."""
    living = []

    def begin(plan: Plan, build_sampler: Any = None, folder: Path | None = None) -> tuple[TrialQueue, Any]:
        study = begin_study(url, plan)
        queue = TrialQueue(study, plan, folder or tmp_path / plan.name, build_sampler)
        life = queue.hold_lock()
        life.__enter__()
        living.append(life)
        return queue, life

    yield begin
    for life in living:
        life.__exit__(None, None, None)
