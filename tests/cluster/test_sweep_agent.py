"""The agent of a W&B sweep, with all of it that needs no server: it makes the command, starts it, and finds its run."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from frostline.runs.folder import find_finished
from tests.conftest import ROOT, TINY, read_yaml, train
from tests.integration.studies import tracked_run

pytestmark = [pytest.mark.slow, pytest.mark.cluster]


def test_an_agents_run_is_the_one_that_it_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agents = pytest.importorskip("wandb.wandb_agent")
    sweep = read_yaml(ROOT / "docs" / "wandb_sweep.yaml")
    for name, value in {"SWEEP_ID": "sweep1", "MODE": "offline", "DIR": str(tmp_path)}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    monkeypatch.setenv("WANDB_RUN_ID", "")  # the agent sets it, and the test's end gives it back
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", "")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")  # "${interpreter}" is python
    monkeypatch.chdir(ROOT)
    agent = agents.Agent(SimpleNamespace(), None, sweep_id="sweep1")
    agent._sweep_command = [
        *sweep["command"],
        *TINY[:1],
        *TINY[3:],
        "model.name=shufflenet_v2_x0_5",
        f"logs_dir={tmp_path}",
    ]
    drawn: dict[str, Any] = {"optimizer": "adam", "optimizer.lr": 3e-4, "freeze": 40}
    assert {*drawn} == {*sweep["parameters"]}
    given = {name: {"value": value} for name, value in drawn.items()}
    command = {"type": "run", "run_id": "agents12", "program": sweep["program"], "args": given}
    assert agent._process_command(command)["result"] is None
    process = agent._run_processes["agents12"]
    try:
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
        assert process.poll() == 0
    finally:
        process.kill()

    (run,) = find_finished(tmp_path / "runs")
    options = run.read_options()
    assert (options["freeze"], options["optimizer.name"], options["optimizer.lr"]) == (40, "adam", 3e-4)
    assert run.tracker_id("wandb").read_text().strip() == "agents12"
    assert sweep["metric"]["name"] in tracked_run(run.path)["summary"]
    assert "test/acc" not in run.metrics.read_text()


def test_the_trials_of_a_study_that_an_agent_has_begun_are_runs_of_their_own(tmp_path: Path) -> None:
    study = ("-m", *TINY, "model.name=shufflenet_v2_x0_5", "freeze=10,20", "study=s", f"logs_dir={tmp_path}")
    done = train(*study, WANDB_SWEEP_ID="sweep1", WANDB_RUN_ID="agents12", WANDB_MODE="offline")
    assert (done.returncode, done.stderr) == (0, "")
    ids = [run.tracker_id("wandb").read_text().strip() for run in find_finished(tmp_path)]
    assert len({*ids, "agents12"}) == 3
