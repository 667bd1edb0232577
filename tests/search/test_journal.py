"""A journal of studies holds whole lines, whoever dies at it, and is waited for where its disk is away."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.errors import FrostlineError
from frostline.search.journal import WholeLines, open_journal
from frostline.search.patience import DatabaseGone
from frostline.search.storage import open_storage, storages_in
from frostline.search.study import begin_study, open_study
from tests.conftest import ROOT
from tests.search.plans import GRID

APPENDS = """
import sys
from frostline.search.journal import open_journal
from pathlib import Path
import optuna
study = optuna.load_study(study_name="shared", storage=open_journal(Path(sys.argv[1])))
for i in range(40):
    study.enqueue_trial({"by": f"{sys.argv[2]}-{i}"})
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "studies.journal"


def lines(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_study_in_a_journal_is_the_study_that_it_is_elsewhere(file: Path) -> None:
    url = f"journal:///{file}"
    study = begin_study(url, GRID)
    trial = study.ask()
    trial.set_user_attr("seconds", 1.5)
    trial.report(0.5, 0)
    study.tell(trial, 0.75)
    again = open_study(url, GRID.name)
    assert [(t.value, t.intermediate_values, t.user_attrs) for t in again.trials] == [
        (0.75, {0: 0.5}, {"seconds": 1.5})
    ]
    assert storages_in(file.parent) == [url]


@given(torn=st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1, max_size=9000))
def test_what_a_dead_writer_left_half_is_cut_off_before_the_next_line(
    torn: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("torn") / "studies.journal"
    optuna.create_study(study_name="first", storage=open_journal(file))
    whole = file.read_bytes()
    with file.open("ab") as end:
        end.write(torn.encode())
    storage = open_journal(file)  # reads past it
    optuna.create_study(study_name="second", storage=storage)
    assert file.read_bytes().startswith(whole)
    assert all(lines(file))
    assert optuna.get_all_study_names(open_journal(file)) == ["first", "second"]


def test_nothing_is_lost_between_processes_that_write_at_a_time(file: Path) -> None:
    optuna.create_study(study_name="shared", storage=open_journal(file))
    environment = os.environ | {"PYTHONPATH": f"{ROOT}/src:{ROOT}"}
    writers = [subprocess.Popen([sys.executable, "-c", APPENDS, str(file), f"{i}"], env=environment) for i in range(3)]
    assert [w.wait(60) for w in writers] == [0, 0, 0]
    trials = optuna.load_study(study_name="shared", storage=open_journal(file)).trials
    assert sorted(t.system_attrs["fixed_params"]["by"] for t in trials) == sorted(
        f"{i}-{k}" for i in range(3) for k in range(40)
    )


def test_a_disk_that_is_away_is_waited_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study(storage=open_journal(file))
    away = time.monotonic() + 0.5
    sync = os.fsync

    def stale(descriptor: int) -> None:
        if time.monotonic() < away:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", stale)
    study.set_user_attr("a", 1)
    assert study.user_attrs == {"a": 1}
    assert time.monotonic() >= away


def test_a_journal_that_was_deleted_is_told_in_a_line_and_not_begun_anew(file: Path) -> None:
    study = optuna.create_study(storage=open_journal(file))
    file.unlink()
    with pytest.raises(DatabaseGone, match="the journal of studies cannot be used any more") as error:
        study.set_user_attr("a", 1)
    assert "\n" not in str(error.value)
    assert not file.exists()
    assert not file.with_name("studies.journal.lock").exists()


def test_what_is_no_journal_is_told_in_a_line(file: Path) -> None:
    file.write_text("these are notes\nof somebody\n")
    with pytest.raises(FrostlineError, match="cannot be opened as a database of studies") as error:
        open_storage(f"journal:///{file}")
    assert "\n" not in str(error.value)
    assert file.read_text() == "these are notes\nof somebody\n"


def test_the_lock_of_a_dead_writer_is_taken(file: Path) -> None:
    backend = WholeLines(str(file))
    backend._lock.grace_period = 1  # type: ignore[attr-defined]  # half a minute, but for the test
    file.with_name("studies.journal.lock").symlink_to(file)
    backend.append_logs([{"a": 1}])
    assert lines(file) == [{"a": 1}]
