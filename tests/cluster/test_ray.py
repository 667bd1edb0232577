"""A study on a Ray cluster of two nodes on this machine: every cell once, whoever kills a worker."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.cluster.small import study, wait_for
from tests.conftest import start
from tests.integration.studies import trials

RAY = ("hydra/launcher=ray", "hydra.launcher.ray.remote.num_cpus=1")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.cluster,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray"),
]


NODES = """
import sys
from ray.cluster_utils import Cluster
nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
nodes.add_node(num_cpus=1)
print("address", nodes.address, flush=True)
sys.stdin.read()
nodes.shutdown()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
    with subprocess.Popen(
        [sys.executable, "-c", NODES],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as nodes:
        assert nodes.stdin is not None
        assert nodes.stdout is not None
        address = next(line.split()[1] for line in nodes.stdout if line.startswith("address "))
        yield {"RAY_ADDRESS": address}
        nodes.stdin.close()


def test_every_cell_is_a_task_and_the_screen_is_as_calm_as_ever(cluster: dict[str, str], tmp_path: Path) -> None:
    done = start(*study(tmp_path, RAY, "freeze=10,20,30", "seed=0,1", "trainer.max_epochs=1"), **cluster)
    out, err = done.communicate(timeout=300)
    assert (done.returncode, err) == (0, "")
    assert [t.state for t in trials(tmp_path, "s")] == [TrialState.COMPLETE] * 6
    assert out.count("val/acc 0.") >= 6
    assert "ray" not in out.lower()
    assert len({t.user_attrs["beat"][0] for t in trials(tmp_path, "s")}) >= 1


def test_a_worker_that_is_killed_costs_an_epoch_and_not_the_trial(cluster: dict[str, str], tmp_path: Path) -> None:
    process = start(*study(tmp_path, RAY, "freeze=10,20", "trainer.max_epochs=40"), **cluster)
    wait_for(tmp_path / "s" / "trial-0" / "last.ckpt")
    os.kill(pid_of(tmp_path / "s" / "trial-0"), signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert sorted(t.state.name for t in trials(tmp_path, "s")) == ["COMPLETE", "COMPLETE", "FAIL"]
    again = next(t for t in trials(tmp_path, "s")[2:])
    assert "going on after the last whole epoch" in (tmp_path / "s" / f"trial-{again.number}" / "run.log").read_text()


def test_a_cluster_that_is_not_there_is_told_in_a_line(tmp_path: Path) -> None:
    process = start(*study(tmp_path, RAY, "freeze=10,20", "hydra.launcher.ray.init.address=127.0.0.1:1"))
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert err.startswith("error: hydra.launcher.ray.init: no Ray 127.0.0.1:1 (")
    assert err.count("\n") == 1


def pid_of(folder: Path) -> int:
    """The process that holds the lock of a trial."""
    lock = folder / ".trial.lock"
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(link.resolve() == lock for link in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:
            continue
    raise AssertionError(f"nobody holds {lock}")
