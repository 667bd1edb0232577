"""A trial lives as long as its process."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock

from frostline.search.failures import is_held


def test_a_lock_is_held_only_while_its_process_holds_it(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    assert not is_held(file)
    with FileLock(file):
        assert is_held(file)
    assert not is_held(file)
