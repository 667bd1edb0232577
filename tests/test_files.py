"""A full disk is told in a line, and leaves no half checkpoint; a file is whole or not there."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from frostline.errors import FrostlineError
from frostline.files import disk_in_a_line, write_text


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
