"""A database that is locked, or is being started again, is waited for; what is wrong for good is told at once."""

from __future__ import annotations

import inspect
import re
import sqlite3
import threading
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import _cached_storage
from sqlalchemy.exc import InterfaceError, OperationalError

from frostline.errors import ConfigError, FrostlineError
from frostline.search import patience
from frostline.search.patience import DatabaseGone, Patience
from frostline.search.storage import PatientStorage, is_away, open_storage
from frostline.search.study import begin_study
from tests.search.plans import GRID


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0.5)


def lock(url: str) -> sqlite3.Connection:
    """Hold the database as a backup does."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    return connection


def without_time_out(url: str) -> PatientStorage:
    return PatientStorage(url, engine_kwargs={"connect_args": {"timeout": 0.05}})


def test_a_locked_database_is_waited_for(
    url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Patience, "told", False)  # it is said once in a process
    begin_study(url, GRID)
    study = optuna.load_study(study_name=GRID.name, storage=without_time_out(url))
    held = lock(url)
    threading.Timer(1.0, held.close).start()
    began = time.monotonic()
    study.ask(GRID.space)
    assert time.monotonic() - began > 0.5
    assert len(study.trials) == 1
    assert [r.message for r in caplog.records if "does not answer" in r.message] == [
        "the database of studies does not answer (database is locked): trying again for 10:00"
    ]


def test_patience_ends_in_a_line(url: str, impatient: None) -> None:
    begin_study(url, GRID)
    study = optuna.load_study(study_name=GRID.name, storage=without_time_out(url))
    held = lock(url)
    with pytest.raises(DatabaseGone, match=r"has not answered for .*database is locked.*the same command goes on"):
        study.ask(GRID.space)
    held.close()


def test_who_is_stopped_waits_for_no_database_that_is_away(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begin_study(url, GRID)
    study = optuna.load_study(study_name=GRID.name, storage=without_time_out(url))
    monkeypatch.setattr(Patience, "hurries", True)
    monkeypatch.setattr(patience, "HURRY_S", 0.3)
    held = lock(url)
    began = time.monotonic()
    with pytest.raises(DatabaseGone, match="has not answered for 0:00"):
        study.ask(GRID.space)
    assert time.monotonic() - began < 5
    held.close()


def test_what_is_wrong_for_good_is_not_waited_for() -> None:
    def of(error: Exception) -> StorageInternalError:
        wrapped = StorageInternalError("An exception is raised during the commit.")
        wrapped.__cause__ = error
        return wrapped

    class ServerError(Exception):
        pass

    for text in ("database is locked", "database or disk is full"):
        assert is_away(of(OperationalError("", {}, sqlite3.OperationalError(text))))
    for text in ("attempt to write a readonly database", "disk I/O error", "no such table: trials"):
        assert not is_away(of(OperationalError("", {}, sqlite3.OperationalError(text))))
    assert is_away(of(OperationalError("", {}, ServerError("server closed the connection unexpectedly"))))
    assert is_away(of(InterfaceError("", {}, ServerError("connection already closed"))))
    assert not is_away(of(ValueError("too long")))


def test_everything_that_asks_the_database_is_patient() -> None:
    asked = {*re.findall(r"_backend\.(\w+)\(", inspect.getsource(_cached_storage))}
    without = {"record_heartbeat", "_get_stale_trial_ids", "get_heartbeat_interval"}  # which are not used
    without |= {"get_heartbeat_stale_trial_callback"}
    assert asked - without
    assert {name for name in asked - without if not hasattr(getattr(PatientStorage, name), "__wrapped__")} == set()


def opening(url: str, ready: Any, out: Any) -> None:
    ready.wait()
    try:
        open_storage(url)
        out.put("")
    except FrostlineError as error:
        out.put(str(error))


def test_several_processes_may_create_it_at_a_time(url: str) -> None:
    context = get_context("spawn")  # a fork of a process with threads may wait for ever
    ready, out = context.Barrier(4), context.Queue()
    processes = [context.Process(target=opening, args=(url, ready, out)) for _ in range(4)]
    for process in processes:
        process.start()
    assert [out.get(timeout=60) for _ in processes] == [""] * 4
    for process in processes:
        process.join(60)


def test_of_two_that_create_a_study_at_a_time_with_other_options_one_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is held where it has created the study, and not yet said what it is."""
    from dataclasses import replace

    created, go_on, ends = threading.Event(), threading.Event(), []
    create = optuna.create_study

    def held(**options: Any) -> optuna.Study:
        study = create(**options)
        created.set()
        assert go_on.wait(30)
        return study

    monkeypatch.setattr(optuna, "create_study", held)
    first = threading.Thread(target=lambda: ends.append(begin_study(url, GRID)))
    first.start()
    assert created.wait(30)
    other = replace(GRID, fixed={**GRID.fixed, "optimizer.lr": 1e-3})

    def begin_other() -> None:
        with pytest.raises(ConfigError, match=r"was begun with optimizer\.lr=0\.0001, not 0\.001"):
            begin_study(url, other)
        ends.append(None)

    monkeypatch.setattr(optuna, "create_study", create)
    second = threading.Thread(target=begin_other)
    second.start()
    time.sleep(0.3)
    go_on.set()
    for thread in (first, second):
        thread.join(30)
    assert len(ends) == 2


def test_a_folder_that_cannot_be_written_to_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FrostlineError, match="cannot be opened as a database of studies") as error:
        open_storage(f"sqlite:///{tmp_path}/file/studies.db")
    assert "\n" not in str(error.value)
