"""Eight processes at 200 short trials, in each kind of database: none lost, none done twice, none left running."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.postgres import ADDRESS, BIN, read_trials, running_server
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.cluster]
WORKERS, CELLS = 8, 200
WORKER = """
import sys, time
from dataclasses import replace
from optuna.distributions import IntDistribution
from pathlib import Path
from frostline.search.liveness import beating
from frostline.search.queue import TrialQueue
from frostline.search.study import begin_study
from tests.search.plans import GRID
url, folder, cells = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
space = {"freeze": IntDistribution(0, cells - 1)}
plan = replace(GRID, name="shared", space=space, cells=[{"freeze": i} for i in range(cells)], trials=cells)
study = begin_study(url, plan)
folder.mkdir(parents=True, exist_ok=True)
queue = TrialQueue(study, plan, folder)
with queue.hold_lock():
    while (trial := queue.ask()) is not None:
        with beating([trial]):
            for epoch in range(2):
                trial.report(0.1 * epoch, epoch)
            trial.set_user_attr("seconds", 0.1)
            study.tell(trial, trial.params["freeze"] / cells)
"""


@pytest.fixture(params=["sqlite", "journal", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "postgres":
        if BIN is None:
            pytest.skip("needs the server: apt-get install postgresql")
        with running_server(folder):
            yield ADDRESS
    else:
        yield f"{request.param}:///{folder}/studies"


@pytest.mark.parametrize("disks", ["shared", "each its own"])
def test_eight_workers_do_every_cell_once(address: str, disks: str, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}/src:{ROOT}"}
    folders = [tmp_path / ("disk" if disks == "shared" else f"disk-{i}") / "shared" for i in range(WORKERS)]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, address, str(folder), str(CELLS)],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for folder in folders
    ]
    try:
        said = [worker.communicate(timeout=560)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [(worker.returncode, text) for worker, text in zip(workers, said, strict=True)] == [(0, "")] * WORKERS
    trials = read_trials(address, "shared")
    done = [t for t in trials if t.state.name == "COMPLETE"]
    assert Counter(t.params["freeze"] for t in done) == dict.fromkeys(range(CELLS), 1)
    assert all(t.value == t.params["freeze"] / CELLS and len(t.intermediate_values) == 2 for t in done)
    given_back = [t.user_attrs["failure"]["kind"] for t in trials if t.state.name != "COMPLETE"]
    assert set(given_back) <= {"twice"}
