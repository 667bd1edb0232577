"""Several trials at a time: processes of the same command beside this one, and threads that wait for jobs elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from frostline.config.messages import child_environment

WORKER = "FROSTLINE_WORKER"  # set in the processes that a sweep with n_jobs > 1 starts beside itself


def is_worker() -> bool:
    """Whether this process was started by a sweep beside itself."""
    return WORKER in os.environ


def start_workers(folder: Path, count: int) -> list[subprocess.Popen[bytes]]:
    """The same command, so many times beside this one: nobody waits for the slowest of a batch."""
    environment = child_environment() | {WORKER: str(os.getpid())}
    command = [sys.executable, "-m", "frostline.train", *sys.argv[1:]]
    workers = []
    for i in range(1, count + 1):  # this process says what there is to say, also of their trials
        with (folder / ".locks" / f"worker-{i}.log").open("wb") as output:
            workers.append(
                subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
            )
    return workers


def stop_workers(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    """End workers that outlive their sweep: a terminal's Ctrl-C reaches them too, `kill` does not."""
    for process in workers:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
        if process.poll() is None:
            process.terminate()
    for process in workers:
        process.wait()


def is_orphaned() -> bool:
    """Whether this is a worker whose sweep has gone."""
    return WORKER in os.environ and os.environ[WORKER] != str(os.getppid())


def in_threads(count: int, work: Callable[[Callable[[], bool]], None]) -> None:
    """Do `work` in so many threads at a time, and raise what one of them raises when all have ended.

    It is given a function that says whether another one has failed.
    """
    errors: list[BaseException] = []

    def one() -> None:
        try:
            work(lambda: bool(errors))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one, daemon=True) for _ in range(count)]  # Ctrl-C does not wait for them
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
