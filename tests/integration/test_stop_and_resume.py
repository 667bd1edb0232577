"""Real kills of real processes."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from frostline.config.compose import compose_config, read_config
from frostline.errors import FrostlineError
from frostline.training.recipe import train_once
from tests.conftest import ROOT, TINY, Run, start, train

EPOCHS = 5


def wait_for_epochs(folder: Path, count: int, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        history = folder / "history.csv"
        if history.is_file() and len(history.read_text().splitlines()) > count:
            return
        time.sleep(0.02)
    raise AssertionError(f"no {count} epochs after {seconds} s")


def wait_for_file(file: Path, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not file.is_file():
        assert time.monotonic() < deadline, f"no {file}"
        time.sleep(0.02)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def comparable(folder: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return {k: v for k, v in metrics.items() if k not in ("seconds", "train/images_per_second")}


@pytest.mark.parametrize("scheduler", ["onecycle", pytest.param("plateau", marks=pytest.mark.slow)])
def test_killed_run_ends_with_the_metrics_of_one_never_killed(scheduler: str, logs_dir: Path, tmp_path: Path) -> None:
    options = (*TINY, f"logs_dir={logs_dir}", "logger=csv", f"trainer.max_epochs={EPOCHS}", f"scheduler={scheduler}")
    if scheduler == "plateau":
        options = (*options, "scheduler.options={factor: 0.3, patience: 0, threshold: 10.0}")  # steps every epoch
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert train(*options, f"hydra.run.dir={whole}").returncode == 0

    process = start(*options, f"hydra.run.dir={killed}")
    wait_for_file(killed / "config.yaml")  # before the first epoch is over
    kill(process)
    assert not (killed / "metrics.json").exists()
    for epochs in (1, 3):
        process = start(f"resume={killed}")
        wait_for_epochs(killed, epochs)
        kill(process)
    assert not (killed / "metrics.json").exists()
    last = train(f"resume={killed}")
    assert last.returncode == 0, last.stderr
    assert "going on after" in last.stdout
    assert comparable(killed) == comparable(whole)
    history = [line.rsplit(",", 1)[0] for line in (killed / "history.csv").read_text().splitlines()]
    assert history == [line.rsplit(",", 1)[0] for line in (whole / "history.csv").read_text().splitlines()]


def test_a_finished_run_goes_on_for_more_epochs_as_if_it_had_been_begun_so(logs_dir: Path, tmp_path: Path) -> None:
    options = (*TINY, f"logs_dir={logs_dir}", "logger=csv", "scheduler=constant")
    whole, grown = tmp_path / "whole", tmp_path / "grown"
    train_once(compose_config([*options, "trainer.max_epochs=4"]), whole)
    two = train_once(compose_config([*options, "trainer.max_epochs=2"]), grown)
    more = train(f"resume={grown}", "trainer.max_epochs=4")
    assert (more.returncode, more.stderr) == (0, "")
    assert "goes on after 2 epochs" in more.stdout
    assert "Compare on validation (test=false)" in more.stdout  # for the test set is opened again, which is told
    assert (logs_dir / "test_evaluations.csv").read_text().count(str(grown)) == 2
    assert json.loads((grown / "metrics_after_2_epochs.json").read_text()) == two
    assert comparable(grown) == comparable(whole) | {"went_on_after_epochs": 2}
    assert "max_epochs: 4" in (grown / "config.yaml").read_text()

    fewer = train(f"resume={grown}", "trainer.max_epochs=3")
    assert (fewer.returncode, fewer.stderr.count("\n")) == (2, 1)
    assert "trainer.max_epochs=3 is less than what this run has (4)" in fewer.stderr

    def refused(folder: Path) -> str:
        config = read_config(folder)
        asked = replace(config, resume=str(folder), trainer=replace(config.trainer, max_epochs=9))
        with pytest.raises(FrostlineError) as error:
            train_once(asked, folder)
        assert (folder / "metrics.json").is_file()
        return str(error.value)

    (grown / "last.ckpt").unlink()
    assert "its last.ckpt, the state to go on from, is gone" in refused(grown)
    one = tmp_path / "one"
    train_once(compose_config([*options, "scheduler=onecycle", "trainer.max_epochs=1"]), one)
    assert "scheduler=onecycle was laid out for 1 epoch, and has come to its end" in refused(one)


SENT = pytest.mark.parametrize(
    "sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["ctrl-c", "kill", "terminal closed"]
)


@SENT
def test_a_stopped_run_says_how_to_go_on(sent: signal.Signals, logs_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(*TINY, f"logs_dir={logs_dir}", "logger=csv", "trainer.max_epochs=500", f"hydra.run.dir={folder}")
    wait_for_epochs(folder, 1)
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"go on with: python train.py resume={folder}" in err
    assert "Traceback" not in err


def test_a_closed_terminal_stops_the_study_and_not_one_trial_alone(logs_dir: Path) -> None:
    options = ("logger=csv", "trainer.max_epochs=40", f"logs_dir={logs_dir}", "study=closed", "freeze=10,20,30")
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "train.py", "-m", *TINY, *options])
    history = logs_dir / "closed" / "trial-0" / "history.csv"
    while not history.is_file():
        if select.select([terminal], [], [], 0.05)[0]:
            os.read(terminal, 65536)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert [folder.name for folder in (logs_dir / "closed").glob("trial-*")] == ["trial-0"]


@SENT
def test_a_start_that_is_stopped_leaves_no_folder(sent: signal.Signals, tmp_path: Path) -> None:
    process = start(*TINY, f"logs_dir={tmp_path}", "logger=csv")
    while not [*tmp_path.glob("runs/*")]:
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.count("\n")) == (130, 1)
    assert err.startswith("stopped; go on with: python train.py model=torchvision")
    assert not [*tmp_path.glob("runs/*")]


def test_folder_of_another_run_is_not_gone_on_with(tiny_run: Run, logs_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text((tiny_run.folder / "config.yaml").read_text())
    done = train(*TINY, f"logs_dir={logs_dir}", "seed=5", "logger=csv", f"hydra.run.dir={tmp_path}")
    assert done.returncode == 1
    assert "holds another run" in done.stderr


def test_loss_that_is_no_number_ends_the_run_with_advice(logs_dir: Path, tmp_path: Path) -> None:
    done = train(
        *TINY, f"logs_dir={logs_dir}", "logger=csv", "optimizer=sgd", "optimizer.lr=1e20", "scheduler=constant",
        f"hydra.run.dir={tmp_path}",
    )  # fmt: skip  # options, then the folder
    assert done.returncode == 1
    assert "loss is nan in epoch 1" in done.stderr or "loss is inf in epoch 1" in done.stderr
    assert "optimizer.lr" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_every_job_of_a_multirun_is_its_own_finished_run(logs_dir: Path, tmp_path: Path) -> None:
    done = train("-m", "freeze=0,20", *TINY[:2], *TINY[3:], "trainer.max_epochs=1", f"logs_dir={logs_dir}",
                 f"hydra.sweep.dir={tmp_path}", "study=jobs")  # fmt: skip  # options, then the folder
    assert done.returncode == 0, done.stderr
    for job, freeze in (("trial-0", 0), ("trial-1", 20)):
        assert json.loads((tmp_path / "jobs" / job / "metrics.json").read_text())["freeze"] == freeze
        assert len(list((tmp_path / "jobs" / job / "wandb").glob("offline-run-*"))) == 1


def test_screen_shows_nothing_but_our_lines(logs_dir: Path, tmp_path: Path) -> None:
    done = train(*TINY, f"logs_dir={logs_dir}", "logger=csv", "trainer.max_epochs=1", f"hydra.run.dir={tmp_path}")
    assert done.stderr == ""
    assert "Warning" not in done.stdout
    assert done.stdout.splitlines()[0].startswith("demo: synthetic CT phantoms, no pretrained weights")
    assert "balanced accuracy" in done.stdout
    assert done.stdout.rstrip().endswith(str(tmp_path))
