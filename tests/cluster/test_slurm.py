"""A study on a real SLURM of one node: every cell once, whatever becomes of its jobs."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.cluster.one_node import missing, one_node
from tests.cluster.small import study, wait_for
from tests.conftest import start
from tests.integration.studies import trials

SLURM = ("hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=null")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.cluster,
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="needs the extra slurm"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with one_node(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


def test_every_cell_is_a_job_and_the_screen_is_as_calm_as_ever(cluster: dict[str, str], tmp_path: Path) -> None:
    done = start(*study(tmp_path, SLURM, "freeze=10,20,30", "seed=0,1", "trainer.max_epochs=1"), **cluster)
    out, err = done.communicate(timeout=300)
    assert (done.returncode, err) == (0, "")
    assert [t.state for t in trials(tmp_path, "s")] == [TrialState.COMPLETE] * 6
    assert out.count("val/acc 0.") >= 6
    assert "submitit" not in out
    assert (tmp_path / "s" / ".submitit").stat().st_mode & 0o777 == 0o700


def test_a_job_that_is_cancelled_is_gone_on_with_by_another(cluster: dict[str, str], tmp_path: Path) -> None:
    process = start(*study(tmp_path, SLURM, "freeze=10,20", "trainer.max_epochs=60"), **cluster)
    wait_for(tmp_path / "s" / "trial-0" / "history.csv")
    job = squeue(cluster)[0]
    subprocess.run(["scancel", job], env={"PATH": "/usr/bin:/bin", **cluster}, check=True)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    states = [t.state for t in trials(tmp_path, "s")]
    assert sorted(s.name for s in states) == ["COMPLETE", "COMPLETE", "FAIL"]


def test_a_time_limit_costs_an_epoch_and_not_the_trial(cluster: dict[str, str], tmp_path: Path) -> None:
    # SLURM may send the signal a minute early: in less than that a job would come to no epoch.
    limit = ("hydra.launcher.timeout_min=2", "hydra.launcher.signal_delay_s=30")
    process = start(*study(tmp_path, SLURM, "freeze=10", "trainer.max_epochs=500", *limit), **cluster)
    out, err = process.communicate(timeout=560)
    assert (process.returncode, err) == (0, "")
    assert "out of time: its job came to the time limit of the cluster" in out
    *before, last = trials(tmp_path, "s")
    assert last.state == TrialState.COMPLETE
    assert {t.user_attrs["failure"]["kind"] for t in before} == {"time"}
    assert last.last_step == 499


def test_what_the_cluster_refuses_is_told_in_its_words(cluster: dict[str, str], tmp_path: Path) -> None:
    process = start(*study(tmp_path, SLURM, "freeze=10,20", "hydra.launcher.partition=nowhere"), **cluster)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    *said_by_sbatch, last = err.splitlines()
    assert all(line.startswith("sbatch: ") for line in said_by_sbatch)
    assert last.startswith("error: the cluster did not take a job: ")
    assert "Invalid partition name specified" in last


def squeue(cluster: dict[str, str]) -> list[str]:
    command = ["squeue", "-h", "-o", "%A"]
    seen = subprocess.run(command, env={"PATH": "/usr/bin:/bin", **cluster}, check=True, capture_output=True, text=True)
    return seen.stdout.split()
