"""Studies in a PostgreSQL server: many may begin at a time, and all outlive a restart of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from frostline.search.storage import open_storage
from tests.conftest import ROOT
from tests.search.plans import DEPTHS

BIN = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
PORT = 5544
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


class Server:
    """A server of its own, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._data, self._folder = folder / "data", folder
        self._call("initdb", "-D", str(self._data), "-A", "trust")

    def _call(self, program: str, *arguments: str) -> None:
        assert BIN is not None
        as_postgres = ["setpriv", "--reuid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        subprocess.run(
            [*as_postgres, str(BIN / program), *arguments], check=True, capture_output=True, timeout=60, cwd="/"
        )

    def start(self) -> None:
        options = f"-p {PORT} -k {self._folder}"
        self._call("pg_ctl", "-D", str(self._data), "-o", options, "-l", str(self._folder / "log"), "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        self._call("pg_ctl", "-D", str(self._data), "-m", mode, "-w", "stop")


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("postgres")
    if os.geteuid() == 0:
        for parent in (folder, *folder.parents[:3]):  # one more where pytest has workers
            if parent == Path("/tmp"):
                break
            parent.chmod(0o755)
        shutil.chown(folder, "postgres")
    running = Server(folder)
    running.start()
    yield running
    running.stop()


def test_four_begin_at_once_and_all_outlive_a_restart_of_the_server(server: Server, tmp_path: Path) -> None:
    url = f"postgresql+psycopg://postgres@127.0.0.1:{PORT}/postgres"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, url, str(tmp_path / f"machine-{i}" / "shared")],
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
    storage = open_storage(url)
    trials = optuna.load_study(study_name="shared", storage=storage).trials
    storage.engine.dispose()
    assert Counter(t.params["freeze"] for t in trials if t.state.name == "COMPLETE") == dict.fromkeys(DEPTHS, 1)
    assert {t.state.name for t in trials} <= {"COMPLETE", "FAIL"}
