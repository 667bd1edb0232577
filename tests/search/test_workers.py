"""Several trials at a time: workers with GPUs of their own, and jobs elsewhere, one in each thread."""

from __future__ import annotations

import threading

import pytest

from frostline.errors import ConfigError
from frostline.search.workers import GPUS, in_threads, jobs_of, share_gpus


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


@pytest.mark.parametrize(
    ("visible", "devices", "jobs"), [("", 1, 1), ("0", 1, 1), ("0,1,3", 1, 3), ("GPU-a, GPU-b", 1, 2), ("0,1,2", 2, 1)]
)
def test_auto_is_a_trial_for_each_gpu_or_each_group_of_them(
    visible: str, devices: int, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(GPUS, visible)
    assert jobs_of("auto", devices) == jobs
    assert jobs_of(5, devices) == 5
    with pytest.raises(ConfigError, match=r"n_jobs=many: must be auto"):
        jobs_of("many", devices)


def test_workers_have_gpus_of_their_own_and_share_them_where_there_are_fewer() -> None:
    of = ["0", "1", "2", "3"]
    assert [share_gpus(of, i, 1)[GPUS] for i in range(6)] == ["0", "1", "2", "3", "0", "1"]
    assert [share_gpus(of, i, 2)[GPUS] for i in range(3)] == ["0,1", "2,3", "0,1"]
    assert share_gpus(["0"], 1, 1) == {}
    assert share_gpus([], 1, 1) == {}
