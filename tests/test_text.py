"""Numbers in words, one way everywhere."""

from __future__ import annotations

import pytest

from frostline.text import difference, duration, hide_password, interval, number, percent


def test_shares_are_percent_with_one_digit() -> None:
    assert percent(0.9412) == "94.1 %"
    assert number(0.9412, as_percent=True) == "94.1 %"
    assert number(0.25, as_percent=False) == "0.250"
    assert interval(0.892, 0.969) == "89.2 to 96.9 %"
    assert interval(float("nan"), float("nan")) == "no interval"


def test_a_difference_has_its_sign() -> None:
    assert difference(0.067, as_percent=True).startswith("+6.7")
    assert difference(-0.067, as_percent=True).startswith("-6.7")


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0:00"), (61, "1:01"), (3600, "1:00:00")])
def test_a_duration_is_read_as_a_clock(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_no_password_is_shown() -> None:
    hidden = hide_password("postgresql://me:secret@host/studies")
    assert "secret" not in hidden
    assert "host/studies" in hidden
