"""Trials that are jobs elsewhere: one at a time in each of several threads."""

from __future__ import annotations

import threading

import pytest

from frostline.search.workers import in_threads


def test_what_one_thread_raises_is_raised_when_all_have_ended_and_the_others_begin_nothing_new() -> None:
    ended, together = [], threading.Barrier(3)

    def work(failed: object) -> None:
        together.wait(10)  # all three at a time
        number = len(ended)
        ended.append(number)
        if number == 0:
            raise ValueError("the cluster refuses")
        while not failed():  # type: ignore[operator]
            pass
        ended.append("saw it")

    with pytest.raises(ValueError, match="the cluster refuses"):
        in_threads(3, work)
    assert ended.count("saw it") == 2


def test_without_an_error_all_threads_work_to_their_end() -> None:
    done = []
    in_threads(4, lambda _: done.append(1))
    assert len(done) == 4
