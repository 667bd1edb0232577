"""A full disk is told in a line, and leaves no half checkpoint; a file is whole or not there."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from frostline.errors import FrostlineError
from frostline.files import appearing, disk_in_a_line, write_text


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EROFS, "Read-only file system"),
        RuntimeError("[enforce fail at inline_container.cc:815] . PytorchStreamWriter failed writing file data/1"),
    ],
)
def test_a_disk_that_takes_nothing_is_told_in_a_line_with_the_space_there_is(error: Exception, tmp_path: Path) -> None:
    half = tmp_path / ".last.ckpt"
    half.write_text("half")
    with pytest.raises(FrostlineError, match="MB are free there") as told, disk_in_a_line(tmp_path):
        raise error
    assert str(tmp_path) in str(told.value)
    assert "\n" not in str(told.value)
    assert not half.exists()


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "gone"), RuntimeError("a bug"), ValueError("x")])
def test_other_errors_stay_what_they_are(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as told, disk_in_a_line(tmp_path / "not there"):
        raise error
    assert told.value is error


def test_a_reader_meets_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b.txt"
    write_text(file, "one")
    write_text(file, "two")
    assert file.read_text() == "two"
    assert [f.name for f in file.parent.iterdir()] == ["b.txt"]


def test_what_another_host_is_just_writing_is_not_taken_for_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    with appearing(tmp_path / "data") as mine:
        (mine / "first").touch()
        monkeypatch.setattr(time, "time", lambda: real() + 9 * 3600)  # that of a host whose clock is ahead
        with appearing(tmp_path / "data") as its:
            (its / "first").touch()
        (mine / "second").touch()
    assert [file.name for file in tmp_path.iterdir()] == ["data"]


def test_what_a_killed_writer_left_an_hour_ago_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".data-killed"
    left.mkdir()
    hours_ago = left.stat().st_mtime - 2 * 3600
    os.utime(left, (hours_ago, hours_ago))
    with appearing(tmp_path / "data"):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["data"]


def test_two_containers_whose_processes_have_one_number_may_write_a_file_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 7)
    replace = Path.replace

    def after_another(partial: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", replace)
        write_text(tmp_path / "table.csv", "theirs")
        return replace(partial, target)

    monkeypatch.setattr(Path, "replace", after_another)
    write_text(tmp_path / "table.csv", "mine")
    assert (tmp_path / "table.csv").read_text() == "mine"
    assert len([*tmp_path.iterdir()]) == 1
