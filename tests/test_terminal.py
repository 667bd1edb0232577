"""Progress is seen in a log file as well, and not too often."""

from __future__ import annotations

import pytest

from frostline import terminal


def test_without_a_terminal_progress_is_a_line_now_and_then_with_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = iter(range(0, 4000, 4))
    monkeypatch.setattr(terminal.time, "monotonic", lambda: float(next(seconds)))
    assert list(terminal.progress([1, 2, 3, 4, 5, 6], "reading slices")) == [1, 2, 3, 4, 5, 6]
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["reading slices: 2 of 6, 0:24 left", "reading slices: 5 of 6, 0:05 left"]


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(terminal.progress("abc", "reading")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""
