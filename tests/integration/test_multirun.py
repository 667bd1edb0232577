"""Studies as a user runs them: real multiruns of a small network, real kills."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import FrozenTrial, TrialState

from tests.conftest import ROOT, TINY, start, train
from tests.integration.test_stop_and_resume import wait_for_epochs, wait_for_file

Study = Callable[..., tuple[str, ...]]


@pytest.fixture
def study(logs_dir: Path) -> Study:
    """The command of a study of the tiny network, all of them in one database."""

    def command(name: str, *options: str) -> tuple[str, ...]:
        small = ("model.name=shufflenet_v2_x0_5", "trainer.checkpoint_seconds=1000", "logger=csv")  # 5 MB a checkpoint
        return ("-m", *TINY, *small, f"logs_dir={logs_dir}", f"study={name}", *options)

    return command


def trials(logs_dir: Path, name: str) -> list[FrozenTrial]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.load_study(study_name=name, storage=f"sqlite:///{logs_dir}/studies.db").get_trials()


def tracked_run(folder: Path) -> dict[str, Any]:
    """What wandb's own reader finds in the offline run of a run folder."""
    (offline,) = (folder / "wandb").glob("offline-run-*")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(offline)]
    seen = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    found: dict[str, Any] = json.loads(seen)
    return found


def states(logs_dir: Path, name: str) -> Counter[str]:
    return Counter(t.state.name for t in trials(logs_dir, name))


def test_a_plain_multirun_is_an_exact_grid_that_goes_on_after_kills(study: Study, logs_dir: Path) -> None:
    folder = logs_dir / "depths"
    command = study("depths", "freeze=range(10,50,10)")
    process = start(*command)
    wait_for_epochs(folder / "trial-1", 1)  # in the middle of the second trial
    process.kill()
    process.communicate()
    process = start(*command)
    wait_for_file(folder / "trial-2" / "metrics.json")  # the second again: killed as it ends
    process.kill()
    process.communicate()

    done = train(*command)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = trials(logs_dir, "depths")
    assert [t.params["freeze"] for t in found if t.state == TrialState.COMPLETE] == [10, 20, 30, 40]
    killed = [t for t in found if t.state == TrialState.FAIL]
    assert all(t.user_attrs["failure"]["kind"] == "died" for t in killed)
    assert 1 <= len(killed) <= 2
    for t in found:
        if t.state == TrialState.COMPLETE:
            metrics = json.loads((folder / f"trial-{t.number}" / "metrics.json").read_text())
            assert (metrics["freeze"], metrics["trial"], metrics["objective"]) == (
                t.params["freeze"],
                t.number,
                t.value,
            )
            assert not any(key.startswith("test/acc") for key in metrics)
    for file in ("trials.csv", "best.yaml", "freezing.png"):
        assert (folder / file).stat().st_size > 0
    with (folder / "trials.csv").open() as lines:
        assert Counter(row["state"] for row in csv.DictReader(lines)) == {"complete": 4, "killed": len(killed)}

    before = len(found)
    again = train(*command)
    assert again.returncode == 0
    assert "4 of 4 done" in again.stdout
    assert len(trials(logs_dir, "depths")) == before

    changed = train(*study("depths", "freeze=range(10,50,10)", "optimizer.lr=0.5"))
    assert changed.returncode == 2
    assert changed.stderr.startswith("error: study 'depths' was begun with optimizer.lr=0.002, not 0.5")
    assert changed.stderr.count("\n") == 1


def test_two_processes_on_one_study_do_each_cell_once(study: Study, logs_dir: Path) -> None:
    command = study("shared", "freeze=range(10,50,10)", "trainer.threads=1")
    both = [start(*command), start(*command)]
    for process in both:
        _, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, "")
    found = trials(logs_dir, "shared")
    assert sorted(t.params["freeze"] for t in found) == [10, 20, 30, 40]
    assert states(logs_dir, "shared") == {"COMPLETE": 4}


def test_phase_2_takes_over_from_phase_1_and_its_best_trains_and_tests_once(study: Study, logs_dir: Path) -> None:
    early = train(*study("second", "hparams_search=phase2", "hydra.sweeper.start_from=first"))
    assert early.returncode == 2
    assert early.stderr.startswith("error: there is no finished study 'first' to take the settings over from: run")

    first = train(*study("first", "hparams_search=phase1", "hydra.sweeper.n_trials=3", "data.batch_size=choice(8,12)"))
    assert first.returncode == 0, first.stderr
    chosen = max(trials(logs_dir, "first"), key=lambda t: (t.value or 0, -t.number))
    assert {*chosen.params} == {"optimizer", "optimizer.lr", "data.batch_size"}
    tried = [t.params["optimizer"] for t in trials(logs_dir, "first")]
    assert tried == ["adamax", "adam", "rmsprop"]  # what a run has without a search, then the others

    options = ("hparams_search=phase2", "hydra.sweeper.start_from=first", "freeze=10,20", "seed=range(2)")
    second = train(*study("second", *(o for o in options)))
    assert second.returncode == 0, second.stderr
    assert f"taken over from study first, trial {chosen.number}" in second.stdout
    assert states(logs_dir, "second") == {"COMPLETE": 4}
    config = (logs_dir / "second" / "trial-0" / "config.yaml").read_text()
    assert f"lr: {chosen.params['optimizer.lr']}" in config
    assert f"name: {chosen.params['optimizer']}" in config

    elsewhere = train(*study("third", *options[:2], "freeze=10", "data.phantom.seed=9"))
    assert elsewhere.returncode == 2
    assert elsewhere.stderr.startswith("error: hydra.sweeper.start_from=first: that study was made on other images")

    resplit = train(*study("third", *options[:2], "freeze=10", "data.split_seed=9"))
    assert resplit.returncode == 2
    assert resplit.stderr.startswith(
        "error: hydra.sweeper.start_from=first: that study was made with data.split_seed=0"
    )

    last = train(f"--config-dir={logs_dir}", "+second=best", f"logs_dir={logs_dir}", f"hydra.run.dir={logs_dir}/last")
    assert last.returncode == 0, last.stderr
    metrics = json.loads((logs_dir / "last" / "metrics.json").read_text())
    assert metrics["optimizer"] == chosen.params["optimizer"]
    assert metrics["lr"] == chosen.params["optimizer.lr"]
    assert "test/acc" in metrics


def test_a_looked_at_test_set_shows_in_every_study_of_it(study: Study, tmp_path: Path) -> None:
    def ends(name: str, *options: str) -> str:
        command = study(name, "trainer.max_epochs=1", *options)
        done = train(*(f"logs_dir={tmp_path}" if word.startswith("logs_dir=") else word for word in command))
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "test set of this study: never evaluated" in ends("blind", "seed=0,1")
    assert "test set of this study: evaluated 2 times" in ends("looked", "seed=0,1", "test=true")
    assert "test set of this study: evaluated 2 times" in ends("blind", "seed=0,1")
    assert "test set of this study: never evaluated" in ends("other", "seed=0,1", "data.split_seed=1")


def test_hopeless_trials_are_pruned_and_keep_their_values(study: Study, logs_dir: Path) -> None:
    pruner = (
        "hydra.sweeper.pruner=threshold",
        "hydra.sweeper.pruner_options.threshold={lower: 0.99, n_warmup_steps: 1}",
    )
    pruner = (*pruner, "logger=wandb")
    done = train(
        *study("pruned", "seed=0,1", "trainer.max_epochs=9", "optimizer.lr=1e-9", "scheduler=constant", *pruner)
    )
    assert done.returncode == 0, done.stderr
    found = trials(logs_dir, "pruned")
    assert {t.state for t in found} == {TrialState.PRUNED}
    for t in found:
        assert len(t.intermediate_values) == 2
        metrics = json.loads((logs_dir / "pruned" / f"trial-{t.number}" / "metrics.json").read_text())
        assert (metrics["state"], metrics["epochs"]) == ("pruned", len(t.intermediate_values))
        tracked = tracked_run(logs_dir / "pruned" / f"trial-{t.number}")
        assert tracked["state"] == "finished"
        assert (tracked["summary"]["state"], tracked["summary"]["trial"]) == ("pruned", t.number)
        assert tracked["summary"]["objective"] == pytest.approx(metrics["val/acc"])
        assert (tracked["config"]["study"], tracked["config"]["seed"]) == ("pruned", t.params["seed"])


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


@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=joblib"]], ids=["workers", "joblib"])
def test_several_trials_at_a_time_are_the_same_trials(launcher: list[str], study: Study, logs_dir: Path) -> None:
    name = f"parallel-{len(launcher)}"
    done = train(*study(name, "freeze=10,20,30", "trainer.max_epochs=1", "hydra.sweeper.n_jobs=2", *launcher))
    assert done.returncode == 0, done.stderr
    found = trials(logs_dir, name)
    assert sorted(t.params["freeze"] for t in found) == [10, 20, 30]
    assert states(logs_dir, name) == {"COMPLETE": 3}
    config = (logs_dir / name / "trial-0" / "config.yaml").read_text()
    assert f"threads: {max(1, (os.cpu_count() or 1) // 2)}" in config


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


def test_ctrl_c_ends_the_study_and_the_trial_is_done_again(study: Study, logs_dir: Path) -> None:
    command = study("interrupted", "freeze=10,20", "trainer.max_epochs=200")
    process = start(*command)
    wait_for_epochs(logs_dir / "interrupted" / "trial-0", 1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err == "error: stopped; go on with: the same command\n"
    (trial,) = trials(logs_dir, "interrupted")
    assert trial.user_attrs["failure"]["kind"] == "stopped"
    assert not (logs_dir / "interrupted" / "trial-0" / "last.ckpt").exists()  # nothing goes on from it


def test_a_reader_that_has_read_enough_leaves_no_stack_trace(study: Study) -> None:
    process = start(*study("read", "seed=0", "trainer.max_epochs=1"))
    assert process.stdout is not None
    process.stdout.close()  # as `| head` does
    process.stdout = None
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (141, "")


def test_a_grid_with_one_wrong_value_does_not_begin(study: Study, logs_dir: Path) -> None:
    for options, told in (
        (("seed=0,-1",), "seed=-1: must be a whole number >= 0"),
        ((), "-m with nothing to search"),
        (("freeze=0,4000",), "freeze=4000: this backbone has 368 layers"),
        (("freeze=range(10,10)",), "freeze=range(10,10): "),
        (("seed=0,1", "hydra.sweeper.max_failure_rate=50"), "hydra.sweeper.max_failure_rate=50"),
    ):
        done = train(*study("wrong", *options))
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {told}")
        assert done.stderr.count("\n") == 1
        assert not (logs_dir / "wrong").exists()


def test_a_search_without_m_is_refused_before_it_trains_something_else() -> None:
    done = train("hparams_search=phase1")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "error: hparams_search=phase1 is a search of many runs: python train.py -m hparams_search=phase1\n"
    )


def test_an_interval_without_a_sampler_is_refused(study: Study) -> None:
    done = train(*study("interval", "optimizer.lr=interval(0.1,0.2)"))
    assert done.returncode == 2
    assert done.stderr.startswith("error: a grid takes choices and ranges; an interval needs a sampler")
