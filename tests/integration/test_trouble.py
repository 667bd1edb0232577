"""Studies whose trials fail, whose memory, workers or readers go: the others go on, and it is told what was."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from optuna.trial import TrialState

from frostline.config.compose import compose_config
from frostline.data.dataset import data_root
from tests.conftest import ROOT, TINY, start, train
from tests.integration.studies import Study, states, tracked_run, trials
from tests.integration.test_stop_and_resume import comparable, wait_for_epochs, wait_for_file


def test_failed_trials_keep_their_reason_and_too_many_stop_the_study(study: Study, logs_dir: Path) -> None:
    command = study("failing", "optimizer.lr=1e-4,1e30,1e31,1e-3", "scheduler=constant", "trainer.max_epochs=1")
    command = (*command, "logger=wandb")
    done = train(*command, "hydra.sweeper.max_failure_rate=0.5")
    assert done.returncode == 0, done.stderr
    reasons = [t.user_attrs["failure"] for t in trials(logs_dir, "failing") if t.state == TrialState.FAIL]
    assert [r["kind"] for r in reasons] == ["diverged", "diverged"]
    assert all("the train loss is" in r["text"] for r in reasons)
    assert states(logs_dir, "failing") == {"COMPLETE": 2, "FAIL": 2}
    tracked = tracked_run(logs_dir / "failing" / "trial-1")
    assert (tracked["state"], tracked["summary"]["state"], tracked["summary"]["trial"]) == ("failed", "failed", 1)

    stopped = train(*study("stopped", "optimizer.lr=1e30,1e31,1e32,1e-3,1e-4", "scheduler=constant"))
    assert stopped.returncode == 1
    assert stopped.stderr.startswith("error: study 'stopped' was stopped: 2 of 5 trials failed, more than")
    assert stopped.stderr.count("\n") == 1
    assert states(logs_dir, "stopped") == {"FAIL": 2}


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="limits the memory of the processor, not of the GPU")
def test_a_batch_that_runs_out_of_memory_is_told_and_the_study_goes_on(study: Study, logs_dir: Path) -> None:
    command = study("big", "data.image_size=1300", "data.batch_size=24,1", "trainer.max_epochs=1", "data.augment=none")
    limited = ["sh", "-c", 'ulimit -v 7000000; exec "$@"', "sh", sys.executable, "train.py", *command]
    options = ("hydra.sweeper.max_failure_rate=0.5", "trainer.precision=float32")
    done = subprocess.run([*limited, *options], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    failed, complete = trials(logs_dir, "big")
    assert failed.user_attrs["failure"] == {"kind": "memory", "text": "batch 24 at 1300 px does not fit"}
    assert complete.state == TrialState.COMPLETE


@pytest.mark.parametrize(
    "launcher",
    [
        pytest.param([], id="workers"),
        pytest.param(["hydra/launcher=joblib"], id="joblib", marks=pytest.mark.slow),
    ],
)
def test_several_trials_at_a_time_are_the_same_trials(launcher: list[str], study: Study, logs_dir: Path) -> None:
    name = f"parallel-{len(launcher)}"
    done = train(*study(name, "freeze=10,20,30", "trainer.max_epochs=1", "hydra.sweeper.n_jobs=2", *launcher))
    assert done.returncode == 0, done.stderr
    found = trials(logs_dir, name)
    assert sorted(t.params["freeze"] for t in found) == [10, 20, 30]
    assert states(logs_dir, name) == {"COMPLETE": 3}
    config = (logs_dir / name / "trial-0" / "config.yaml").read_text()
    assert f"threads: {max(1, (os.cpu_count() or 1) // 2)}" in config


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the worker in /proc")
def test_what_a_killed_worker_leaves_is_done_by_the_others(study: Study, logs_dir: Path) -> None:
    process = start(*study("left", "freeze=10,20,30", "hydra.sweeper.n_jobs=2", "trainer.max_epochs=40"))
    wait_for_epochs(logs_dir / "left" / "trial-0", 1)
    wait_for_epochs(logs_dir / "left" / "trial-1", 1)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (worker,) = (c for c in children if b"study=left" in Path(f"/proc/{c}/cmdline").read_bytes())
    os.kill(int(worker), signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert states(logs_dir, "left") == {"COMPLETE": 3, "FAIL": 1}


def test_folders_of_a_study_that_is_gone_are_not_taken_for_a_new_one(study: Study, logs_dir: Path) -> None:
    (logs_dir / "gone" / "trial-0").mkdir(parents=True)
    done = train(*study("gone", "seed=0,1"))
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {logs_dir / 'gone'} holds trials of another study of this name")
    assert done.stderr.count("\n") == 1


def test_files_that_change_in_mid_study_stop_it_with_their_names(study: Study, logs_dir: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(data_root(compose_config([*TINY, f"logs_dir={logs_dir}"]).data, logs_dir / "cache"), data)
    options = (
        "data=folder",
        f"data.root={data}",
        "model.weights=null",
        "freeze=10,20,30",
        "data.series_similarity=null",
    )
    process = start(*study("changed", *options))
    wait_for_file(logs_dir / "changed" / "trial-0" / "metrics.json")
    old, other = sorted(data.glob("normal/*.png"))[:2]
    kept = old.read_bytes()
    old.write_bytes(other.read_bytes())
    _, error = process.communicate(timeout=300)
    assert process.returncode == 1
    assert error.count("\n") == 1
    assert f"was begun with (changed: normal/{old.name}): put the files back" in error
    refused = train(*study("changed", *options))
    assert f"files were added, removed or changed since (changed: normal/{old.name}); start" in refused.stderr
    old.write_bytes(kept)
    done = train(*study("changed", *options))
    assert (done.returncode, done.stderr) == (0, "")
    kinds = [t.user_attrs["failure"]["kind"] for t in trials(logs_dir, "changed") if t.state == TrialState.FAIL]
    assert kinds == ["data"]


def test_ctrl_c_ends_the_study_and_the_trial_goes_on_where_it_was(study: Study, logs_dir: Path) -> None:
    command = study("interrupted", "freeze=10,20", "trainer.max_epochs=6", "trainer.checkpoint_seconds=0", "seed=3")
    whole = train(*study("whole", "freeze=10,20", "trainer.max_epochs=6", "seed=3"))
    assert whole.returncode == 0, whole.stderr
    process = start(*command)
    wait_for_epochs(logs_dir / "interrupted" / "trial-0", 1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err == f"stopped; go on with: {shlex.join(['python', 'train.py', *command])}\n"
    (trial,) = trials(logs_dir, "interrupted")
    assert trial.user_attrs["failure"]["kind"] == "stopped"
    folder = logs_dir / "interrupted"
    epochs = len((folder / "trial-0" / "history.csv").read_text().splitlines()) - 1
    assert 1 <= epochs < 6

    done = train(*command)
    assert (done.returncode, done.stderr) == (0, "")
    assert "goes on where trial 0 ended" in (folder / "trial-1" / "run.log").read_text()
    assert [*trials(logs_dir, "interrupted")[1].intermediate_values] == [*range(6)]
    for ours, undisturbed in ((1, 0), (2, 1)):
        end = comparable(folder / f"trial-{ours}")
        assert end == comparable(logs_dir / "whole" / f"trial-{undisturbed}") | {"trial": ours}
    left = [file.relative_to(folder).as_posix() for file in folder.glob("trial-*/*.ckpt")]
    best = max(trials(logs_dir, "interrupted")[1:], key=lambda t: (t.value, -t.number))
    assert left == [f"trial-{best.number}/model.ckpt"]


def test_a_reader_that_has_read_enough_leaves_no_stack_trace(study: Study) -> None:
    process = start(*study("read", "seed=0", "trainer.max_epochs=1"))
    assert process.stdout is not None
    process.stdout.close()  # as `| head` does
    process.stdout = None
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (141, "")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("hydra.sweeper.n_jobs=0", "must be auto, or a whole number >= 1"),
        ("hydra.sweeper.storage=studies", "must be the address of a database"),
        ("hydra.sweeper.study_name=mine", "here it is study=NAME"),
    ],
)
def test_a_sweeper_option_that_could_do_nothing_is_refused_in_one_line(option: str, message: str) -> None:
    done = train("-m", "freeze=10,20", option)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
