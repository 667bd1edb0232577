"""Studies in a PostgreSQL server: many may begin at a time, and all outlive a restart of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.postgres import ADDRESS, BIN, Server, read_trials, running_server
from tests.conftest import ROOT
from tests.search.plans import DEPTHS

WORKER = """
import sys, time
from dataclasses import replace
from pathlib import Path
from frostline.search.liveness import beating
from frostline.search.queue import TrialQueue
from frostline.search.study import begin_study
from tests.search.plans import GRID
plan = replace(GRID, name="shared")
queue = TrialQueue(begin_study(sys.argv[1], plan), plan, Path(sys.argv[2]))
with queue.hold_lock():
    while (trial := queue.ask()) is not None:
        with beating([trial]):
            for epoch in range(4):
                trial.report(0.1 * epoch, epoch)
                time.sleep(0.3)
        queue.study.tell(trial, 0.5)
        print("done", flush=True)
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.faults,
    pytest.mark.skipif(BIN is None, reason="needs the server: apt-get install postgresql"),
]


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("postgres")) as server:
        yield server


def test_four_begin_at_once_and_all_outlive_a_restart_of_the_server(server: Server, tmp_path: Path) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, ADDRESS, str(tmp_path / f"machine-{i}" / "shared")],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": f"{ROOT}/src:{ROOT}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(4)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "done\n"
    server.stop()
    server.start()
    for worker in workers:
        _, error = worker.communicate(timeout=120)
        assert worker.returncode == 0, error
        assert "Traceback" not in error
    trials = read_trials(ADDRESS, "shared")
    assert Counter(t.params["freeze"] for t in trials if t.state.name == "COMPLETE") == dict.fromkeys(DEPTHS, 1)
    assert {t.state.name for t in trials} <= {"COMPLETE", "FAIL"}
