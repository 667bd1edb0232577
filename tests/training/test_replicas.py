"""Two processes that train one network come to what one process comes to, and end together."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from frostline.config.compose import compose_config
from frostline.errors import ConfigError
from frostline.runs.folder import RunFolder
from frostline.training.recipe import train_once
from tests.conftest import TINY, start
from tests.integration.studies import tracked_run

# All BatchNorm is frozen, for on a CPU each process has the statistics of its own images.
OPTIONS = ("logger=csv", "test=false", "freeze=69", "model.head_widths=[8]", "model.dropout=0", "data.batch_size=6")
EXACT = ("trainer.precision=float32", "optimizer=sgd", "optimizer.lr=0.1", "trainer.max_epochs=2")


def train(run: Path, logs_dir: Path, *options: str) -> RunFolder:
    train_once(compose_config([*TINY, *OPTIONS, *EXACT, f"logs_dir={logs_dir}", *options]), run)
    return RunFolder(run)


def history(folder: RunFolder) -> list[dict[str, float]]:
    with folder.history.open() as file:
        return [{k: float(v) for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.parametrize("balance", ["class_weights", pytest.param("none", marks=pytest.mark.slow)])
def test_two_processes_come_to_what_one_comes_to(balance: str, tmp_path: Path, logs_dir: Path) -> None:
    options = (f"data.balance={balance}", "data.augment=strong")
    one = train(tmp_path / "one", logs_dir, *options)
    two = train(tmp_path / "two", logs_dir, *options, "trainer.devices=2")
    for a, b in zip(history(one), history(two), strict=True):
        assert a == pytest.approx(b, abs=1e-4)
    weights = [torch.load(f.best_checkpoint, weights_only=True)["state_dict"] for f in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-3, atol=1e-5)
    assert not torch.distributed.is_initialized()
    assert {f.name for f in two.path.iterdir()} == {f.name for f in one.path.iterdir()}


@pytest.mark.slow
def test_a_process_that_dies_ends_the_run_in_a_line(tmp_path: Path) -> None:
    options = (*TINY, *OPTIONS, f"logs_dir={tmp_path}", "trainer.devices=2", "trainer.max_epochs=300")
    process = start(*options, f"hydra.run.dir={tmp_path}/run")
    until = time.monotonic() + 90
    while not (tmp_path / "run" / "history.csv").is_file():
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.1)
    seen = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
    (other,) = map(int, seen.stdout.split())
    os.kill(other, signal.SIGKILL)
    _, err = process.communicate(timeout=90)
    assert process.returncode == 1
    assert err.splitlines()[-1] == "error: process 1 of the training failed: it was killed"
    assert "Traceback" not in err
    assert not list((tmp_path / "run").glob(".process-*"))


def test_a_batch_that_cannot_be_shared_evenly_is_refused(tmp_path: Path, logs_dir: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"data\.batch_size=6: 4 processes \(trainer\.devices\) cannot share it evenly"
    ):
        train(tmp_path, logs_dir, "trainer.devices=4")


@pytest.mark.slow
def test_two_processes_are_one_run_at_weights_and_biases(tmp_path: Path, logs_dir: Path) -> None:
    two = train(tmp_path / "two", logs_dir, "logger=wandb", "trainer.devices=2")
    told = tracked_run(two.path)["summary"]  # which takes the only run there is
    assert told["val/acc"] == pytest.approx(history(two)[-1]["val/acc"])
    assert [*tmp_path.glob("**/offline-run-*")] == [*(two.path / "wandb").glob("offline-run-*")]
