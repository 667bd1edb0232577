"""Tables of the page say once what is the same, and nothing of what no run has."""

from __future__ import annotations

from frostline.report.sections import split_common


def test_what_rows_share_stands_once_and_what_none_of_them_has_nowhere() -> None:
    rows = [{"run": "a", "px": "64", "fold": "-", "test": "-"}, {"run": "b", "px": "64", "fold": "-", "test": "0.9"}]
    assert split_common(rows) == ({"px": "64"}, [{"run": "a", "test": "-"}, {"run": "b", "test": "0.9"}])
    assert split_common(rows[:1]) == ({}, [{"run": "a", "px": "64"}])
