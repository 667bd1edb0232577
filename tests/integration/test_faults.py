"""Faults as they happen, injected into real studies: `make faults`. What each is shown to do: docs/reliability.md."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.trial import TrialState

from frostline.config.compose import compose_config
from frostline.data.dataset import data_root
from frostline.runs.folder import RunFolder
from tests.conftest import TINY, start, train
from tests.integration.studies import trials
from tests.integration.test_stop_and_resume import comparable, wait_for_epochs, wait_for_file

pytestmark = [pytest.mark.slow, pytest.mark.faults]

SMALL = (
    *TINY,
    *("model.name=shufflenet_v2_x0_5", "logger=csv", "trainer.max_epochs=6", "trainer.checkpoint_seconds=0"),
)
DEPTHS = "freeze=10,20,30,40,50,60"
KILLS = 30
MOUNTS = os.geteuid() == 0 and shutil.which("mount") is not None
needs_mounts = pytest.mark.skipif(not MOUNTS, reason="mounts file systems: needs root")


def study(logs_dir: Path, *options: str) -> tuple[str, ...]:
    return ("-m", *SMALL, f"logs_dir={logs_dir}", "study=s", *options)


def complete(logs_dir: Path) -> dict[int, Path]:
    """The folders of the complete trials by depth; one a depth."""
    found = [t for t in trials(logs_dir, "s") if t.state == TrialState.COMPLETE]
    assert len({t.params["freeze"] for t in found}) == len(found)
    return {t.params["freeze"]: logs_dir / "s" / f"trial-{t.number}" for t in found}


def same(run: Path, other: Path) -> None:
    """Assert that two trials came to the same, bit for bit."""
    ours, theirs = ({k: v for k, v in comparable(folder).items() if k != "trial"} for folder in (run, other))
    assert ours == theirs
    for name in ("predictions.csv", "predictions_by_patient.csv", "manifest.csv"):
        assert (run / name).read_bytes() == (other / name).read_bytes()
    states = [torch.load(folder / "model.ckpt", weights_only=True)["state_dict"] for folder in (run, other)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def written(logs_dir: Path) -> int:
    """How many epochs the trials there have written, and how many are finished."""
    histories = [len(f.read_text().splitlines()) for f in logs_dir.glob("s/trial-*/history.csv")]
    return sum(histories) + len([*logs_dir.glob("s/trial-*/metrics.json")])


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode not in (0, -9)
    assert "Traceback" not in done.stderr + done.stdout
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_a_study_killed_30_times_at_random_moments_ends_as_one_that_was_not(tmp_path: Path) -> None:
    options = (DEPTHS, "trainer.max_epochs=30", "hydra.sweeper.keep_checkpoints=-1")
    undisturbed = train(*study(tmp_path / "whole", *options))
    assert undisturbed.returncode == 0, undisturbed.stderr
    chance = random.Random(0)
    killed, command = 0, study(tmp_path / "killed", *options)
    while killed < KILLS:
        before = written(tmp_path / "killed")
        process = start(*command)
        while killed % 3 and process.poll() is None and written(tmp_path / "killed") <= before:
            time.sleep(0.05)  # two of three while it trains, the third while it starts
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=chance.uniform(0, 3 if killed % 3 else 12))
            assert process.returncode == 0, "it ended before it was killed, and not well"
            break
        killed += process.poll() is None
        process.kill()
        process.communicate()
    assert killed >= KILLS - 3, "it was done too early"
    done = train(*command)
    assert (done.returncode, done.stderr) == (0, "")
    whole, ours = complete(tmp_path / "whole"), complete(tmp_path / "killed")
    assert ours.keys() == whole.keys()
    for depth, folder in ours.items():
        same(folder, whole[depth])
    left = [f for f in (tmp_path / "killed").rglob("*") if f.name in ("last.ckpt", "previous.ckpt")]
    assert left == []


@contextmanager
def disk(place: Path, megabytes: int) -> Iterator[None]:
    """A disk of its own at `place`."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> Path:
    """Leave no byte free there."""
    filler = place / "filler"
    with suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(b"\0" * 4096)
            file.flush()
    return filler


def elsewhere(logs_dir: Path) -> str:
    """The database on another disk: one on a full disk is waited for."""
    return f"hydra.sweeper.storage=sqlite:///{logs_dir.parent}/studies.db"


def full(logs_dir: Path, when: Callable[[], Any]) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Start the study, fill its disk when `when` returns, and wait for its end."""
    process = start(*study(logs_dir, "freeze=10,20", elsewhere(logs_dir)))
    when()
    filler = fill(logs_dir)
    out, err = process.communicate(timeout=200)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err), filler


@needs_mounts
@pytest.mark.parametrize("at", ["checkpoint", "manifest"])
def test_a_disk_that_fills_up_is_one_line_and_the_study_goes_on_with_room(at: str, tmp_path: Path) -> None:
    logs_dir = tmp_path / "logs"
    with disk(logs_dir, 60):
        first = logs_dir / "s" / "trial-0"
        when = {
            "checkpoint": lambda: wait_for_epochs(first, 2),
            "manifest": lambda: wait_for_file(logs_dir / "s" / "data.csv"),
        }
        done, filler = full(logs_dir, when[at])
        said = one_line(done) + done.stdout
        assert "No space left" in said or "could not be written" in said
        assert "MB are free there" in said
        filler.unlink()
        again = train(*study(logs_dir, "freeze=10,20", elsewhere(logs_dir)))
        assert (again.returncode, again.stderr) == (0, "")
        assert len([*logs_dir.glob("s/trial-*/metrics.json")]) == 2
        assert not [*logs_dir.glob("s/trial-*/.*.ckpt*")]


@needs_mounts
def test_a_database_on_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    place = tmp_path / "database"
    with disk(place, 2):
        command = study(tmp_path / "logs", "freeze=10,20", f"hydra.sweeper.storage=sqlite:///{place}/studies.db")
        process = start(*command)
        wait_for_epochs(tmp_path / "logs" / "s" / "trial-0", 1)
        filler = fill(place)
        time.sleep(15)
        assert process.poll() is None
        filler.unlink()
        _, err = process.communicate(timeout=200)
        assert (process.returncode, "Traceback" in err) == (0, False)


@needs_mounts
def test_a_cache_without_room_costs_time_alone(tmp_path: Path) -> None:
    logs_dir = tmp_path / "logs"
    assert train(*study(logs_dir, "freeze=10,20")).returncode == 0
    reference = complete(logs_dir)
    other = tmp_path / "other"
    drawn = logs_dir / "cache"
    with disk(other / "cache", 3):
        for folder in drawn.glob("phantoms-*"):
            shutil.copytree(folder, other / "cache" / folder.name)
        fill(other / "cache")
        done = train(*study(other, "freeze=10,20"))
        assert done.returncode == 0, done.stderr
        for depth, folder in complete(other).items():
            assert comparable(folder) == comparable(reference[depth])


@needs_mounts
def test_logs_that_can_only_be_read_are_one_line(tmp_path: Path) -> None:
    logs_dir = tmp_path / "logs"
    with disk(logs_dir, 60):
        subprocess.run(["mount", "-o", "remount,ro", str(logs_dir)], check=True)
        for command in (study(logs_dir, "freeze=10,20"), (*SMALL, f"logs_dir={logs_dir}")):
            line = one_line(train(*command))
            assert "Read-only file system" in line
            assert str(logs_dir) in line


def test_a_database_that_is_locked_is_waited_for(tmp_path: Path) -> None:
    process = start(*study(tmp_path, "freeze=10,20"))
    wait_for_epochs(tmp_path / "s" / "trial-0", 1)
    lock = sqlite3.connect(tmp_path / "studies.db", isolation_level=None, timeout=60)
    lock.execute("BEGIN EXCLUSIVE")
    time.sleep(75)  # longer than SQLite's own patience
    lock.execute("ROLLBACK")
    lock.close()
    _, err = process.communicate(timeout=200)
    assert (process.returncode, "Traceback" in err) == (0, False)
    assert sorted(complete(tmp_path)) == [10, 20]


def test_data_that_vanish_stop_the_study_and_it_goes_on_when_they_are_back(tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(data_root(compose_config([*TINY, f"logs_dir={tmp_path}"]).data, tmp_path / "cache"), data)
    own = (*(o for o in SMALL if "phantom" not in o), "model.weights=null", "data=folder", f"data.root={data}")
    command = ("-m", *own, f"logs_dir={tmp_path / 'logs'}", "study=s", "freeze=10,20", "data.cache_gb=0")
    process = start(*command)
    wait_for_epochs(tmp_path / "logs" / "s" / "trial-0", 1)
    data.rename(tmp_path / "away")
    out, err = process.communicate(timeout=200)
    assert "Traceback" not in err + out
    assert process.returncode != 0
    assert [line for line in err.splitlines() if line][-1].startswith("error: ")
    (tmp_path / "away").rename(data)
    done = train(*command)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(complete(tmp_path / "logs")) == [10, 20]


@pytest.mark.skipif(shutil.which("faketime") is None, reason="sets the clock: apt-get install faketime")
def test_a_clock_that_is_set_back_does_nothing_twice_and_loses_nothing(tmp_path: Path) -> None:
    command = study(tmp_path, "freeze=10,20,30")
    process = start(*command)
    wait_for_epochs(tmp_path / "s" / "trial-1", 1)
    process.kill()
    process.communicate()
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    environment = {"LD_PRELOAD": str(library), "FAKETIME": "-3h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    done = train(*command, **environment)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert sorted(complete(tmp_path)) == [10, 20, 30]
    assert len(trials(tmp_path, "s")) == 4


def test_of_two_people_who_begin_the_same_study_with_other_options_one_is_told(tmp_path: Path) -> None:
    one, other = start(*study(tmp_path, "freeze=10,20")), start(*study(tmp_path, "freeze=10,20", "optimizer.lr=0.03"))
    ends = [(process.communicate(timeout=200)[1], process.returncode) for process in (one, other)]
    assert sorted(code for _, code in ends) == [0, 2]
    (said,) = [err for err, code in ends if code]
    assert said.startswith("error: study 's' was begun with optimizer.lr=")
    assert said.count("\n") == 1
    rates = {RunFolder(run).read_options()["optimizer.lr"] for run in complete(tmp_path).values()}
    assert len(rates) == 1
