"""Studies as a user runs them: real multiruns of a small network, real kills."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.conftest import start, train
from tests.integration.studies import Study, states, tracked_run, trials
from tests.integration.test_stop_and_resume import wait_for_epochs, wait_for_file


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

    removed, emptied = [t.number for t in found if t.state == TrialState.COMPLETE][:2]
    shutil.rmtree(folder / f"trial-{removed}")
    (folder / f"trial-{emptied}" / "metrics.json").write_text("")  # as a power cut leaves it
    mended = train(*command)
    assert (mended.returncode, mended.stderr) == (0, "")
    with (folder / "trials.csv").open() as lines:
        rows = [*csv.DictReader(lines)]
    assert Counter(row["state"] for row in rows) == {"complete": 4, "killed": len(killed), "lost": 2}
    assert sorted(int(r["freeze"]) for r in rows if r["state"] == "complete") == [10, 20, 30, 40]

    changed = train(*study("depths", "freeze=range(10,50,10)", "optimizer.lr=0.5"))
    assert changed.returncode == 2
    assert changed.stderr.startswith("error: study 'depths' was begun with optimizer.lr=0.002, not 0.5")
    assert changed.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("other", ["the same path", "another path", "a disk of its own"])
def test_two_processes_on_one_study_do_each_cell_once(study: Study, logs_dir: Path, tmp_path: Path, other: str) -> None:
    """As two machines do that mount one disk in two places, or share the database alone."""
    name, its_logs = f"shared-{len(other)}", logs_dir
    if other != "the same path":
        its_logs = tmp_path / "its logs"
    if other == "another path":
        its_logs.symlink_to(logs_dir)
    command = study(
        name, "freeze=range(10,50,10)", "trainer.threads=1", f"hydra.sweeper.storage=sqlite:///{logs_dir}/studies.db"
    )
    its_command = [f"logs_dir={its_logs}" if word.startswith("logs_dir=") else word for word in command]
    both = [start(*command), start(*its_command)]
    for process in both:
        _, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, "")
    complete = [t.params["freeze"] for t in trials(logs_dir, name) if t.state == TrialState.COMPLETE]
    assert sorted(complete) == [10, 20, 30, 40]
    assert {t.user_attrs["failure"]["kind"] for t in trials(logs_dir, name) if t.state == TrialState.FAIL} <= {"twice"}


@pytest.mark.slow
def test_phase_2_takes_over_from_phase_1_and_its_best_trains_and_tests_once(study: Study, logs_dir: Path) -> None:
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

    last = train(f"--config-dir={logs_dir}", "+second=best", f"logs_dir={logs_dir}", f"hydra.run.dir={logs_dir}/last")
    assert last.returncode == 0, last.stderr
    metrics = json.loads((logs_dir / "last" / "metrics.json").read_text())
    assert metrics["optimizer"] == chosen.params["optimizer"]
    assert metrics["lr"] == chosen.params["optimizer.lr"]
    assert "test/acc" in metrics


@pytest.mark.slow
def test_an_evaluated_test_set_shows_in_every_study_of_it(study: Study, tmp_path: Path) -> None:
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
    assert done.returncode == 1
    assert (
        "study 'pruned': no trial is complete (1 pruned)" in done.stderr  # its other seed is not run
    )  # another seed of the same settings is not run
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


def test_a_grid_with_one_wrong_value_does_not_begin(study: Study, logs_dir: Path) -> None:
    for options, told in (
        (("seed=0,-1",), "seed=-1: must be a whole number >= 0"),
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
