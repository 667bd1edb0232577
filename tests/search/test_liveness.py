"""A trial is dead where that can be seen, or when its beats have stood still; all others live."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from optuna.trial import TrialState

from frostline.search import liveness
from frostline.search.liveness import BEAT, MARKS, Watch, beating, is_held, lives_here, mark_of
from frostline.search.trials import trials_of
from tests.search.plans import DEPTHS, GRID


def test_a_lock_is_held_only_while_its_process_holds_it(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    assert not is_held(file)
    with FileLock(file):
        assert is_held(file)
    assert not is_held(file)


def test_a_lock_tells_only_where_it_is_the_same_file_under_the_same_kernel(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    (folder / ".locks").mkdir(parents=True)
    lock = folder / ".locks" / "sweeper-1-2"
    with FileLock(lock):
        mark = mark_of(lock, folder)
        assert lives_here([mark], folder) is True
        other_path = tmp_path / "mounted elsewhere"
        other_path.symlink_to(folder)
        assert lives_here([mark], other_path) is True
    assert lives_here([mark], folder) is False
    assert lives_here([{**mark, "boot": "another machine"}], folder) is None
    assert lives_here([{**mark, "file": "gone"}], folder) is None
    assert lives_here([{**mark, "inode": [1, 2]}], folder) is None
    assert lives_here([], folder) is None
    assert lives_here([mark, {**mark, "boot": "another machine"}], folder) is None  # one that cannot be seen may hold


def test_a_lock_outside_of_the_folder_is_not_touched(tmp_path: Path) -> None:
    folder, outside = tmp_path / "study", tmp_path / "mine.txt"
    folder.mkdir()
    outside.write_text("mine")
    mark = {**mark_of(outside, tmp_path), "file": "../mine.txt"}
    assert lives_here([mark], folder) is None
    assert outside.read_text() == "mine"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that a test sets by hand."""
    now = [0.0]
    monkeypatch.setattr(liveness.time, "monotonic", lambda: now[0])
    return now


def away(trial: Any) -> None:
    """Let a trial be one of another machine."""
    marks = [{**mark, "boot": "another machine"} for mark in trial.user_attrs[MARKS]]
    trial.set_user_attr(MARKS, marks)


def test_what_runs_elsewhere_lives_until_its_beats_stand_still_while_somebody_watches(
    call: Any, clock: list[float], tmp_path: Path
) -> None:
    queue, _ = call(GRID)
    trial = queue.ask()
    away(trial)
    watch = Watch(tmp_path)

    def dead() -> list[int]:
        return [t.number for t in watch.dead(queue.study.get_trials(states=(TrialState.RUNNING,)))]

    for seconds in range(0, 3000, 50):  # it beats
        clock[0] = float(seconds)
        trial.set_user_attr(BEAT, seconds)
        assert dead() == []
    for seconds in range(3000, 3200, 50):  # it does not
        clock[0] = float(seconds)
        assert dead() == []
    clock[0] = 10_000.0  # nobody has looked for long: what was in between is not known
    assert dead() == []
    for seconds in range(10_050, 10_240, 50):
        clock[0] = float(seconds)
        assert dead() == []
    clock[0] = 10_250.0
    assert dead() == [trial.number]


def test_two_machines_with_logs_of_their_own_bury_nobody_and_do_nothing_twice(call: Any, tmp_path: Path) -> None:
    one, _ = call(GRID, folder=tmp_path / "one" / "depths")
    other, _ = call(GRID, folder=tmp_path / "other" / "depths")
    running = []
    while (trial := one.ask()) is not None:
        running.append(trial)
        if (trial := other.ask()) is not None:
            running.append(trial)
    assert sorted(t.params["freeze"] for t in running) == DEPTHS
    states = Counter(t.state for t in one.study.get_trials())
    assert states == {TrialState.RUNNING: len(DEPTHS)}
    assert sorted(one.others()) == sorted(t.number for t in running)


def test_who_was_given_the_same_as_another_machine_at_that_moment_gives_it_back(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = call(GRID, folder=tmp_path / "one" / "depths")
    other, _ = call(GRID, folder=tmp_path / "other" / "depths")
    monkeypatch.setattr(other, "_one_at_a_time", FileLock(tmp_path / "of another machine"))
    following = other._following

    def late(trials: Any) -> Any:
        """What comes next, as it was before the other machine asked."""
        monkeypatch.setattr(other, "_following", following)
        found = following(trials)
        assert one.ask().params == found
        return found

    monkeypatch.setattr(other, "_following", late)
    assert other.ask().params == {"freeze": 20}
    kinds = [t.user_attrs["failure"]["kind"] for t in other.study.get_trials() if t.state == TrialState.FAIL]
    assert kinds == ["twice"]


def test_a_trial_beats_while_it_runs(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "BEAT_S", 0.02)
    queue, _ = call(GRID)
    trial = queue.ask()
    seen = set()
    with beating([trial]):
        while len(seen) < 3:
            seen.add(json.dumps(queue.study.get_trials()[0].user_attrs.get(BEAT)))
    pids = {json.loads(beat)[0] for beat in seen - {"null"}}
    assert pids == {os.getpid()}
    queue.study.tell(trial, 0.5)
    with beating([trial]):  # one that has ended takes none, and that is no error
        pass


def test_a_trial_of_a_machine_that_died_is_done_again(call: Any, clock: list[float], tmp_path: Path) -> None:
    plan = replace(GRID, cells=GRID.cells[:1] if GRID.cells else None, trials=1)
    one, _ = call(plan, folder=tmp_path / "one" / "depths")
    assert one.ask() is not None
    other, _ = call(plan, folder=tmp_path / "other" / "depths")
    for seconds in range(0, 250, 50):
        clock[0] = float(seconds)
        assert other.ask() is None
        assert other.others() == ([0] if seconds < 250 else [])
    clock[0] = 250.0
    assert other.others() == []
    assert other.has_more()
    assert other.ask().params == {"freeze": 10}
    assert trials_of(other.study)[0].user_attrs["failure"]["kind"] == "died"
