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
from frostline.errors import ConfigError

GPUS = "CUDA_VISIBLE_DEVICES"
WORKER = "FROSTLINE_WORKER"  # set in the processes that a sweep with n_jobs > 1 starts beside itself


def is_worker() -> bool:
    """Whether this process was started by a sweep beside itself."""
    return WORKER in os.environ


def gpus() -> list[str]:
    """The GPUs of this machine that this process may use, as `CUDA_VISIBLE_DEVICES` names them."""
    if (named := os.environ.get(GPUS)) is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    from frostline.training.hardware import count_gpus  # torch takes seconds

    return [str(i) for i in range(count_gpus())]


def jobs_of(asked: int | str, devices: int) -> int:
    """How many trials at a time `n_jobs` asks for, each of which trains on `devices` GPUs.

    Raises `ConfigError` for a word other than auto.
    """
    if isinstance(asked, int):
        return asked
    if asked != "auto":
        raise ConfigError(f"hydra.sweeper.n_jobs={asked}: must be auto, or a whole number >= 1")
    return max(1, len(gpus()) // devices)


def share_gpus(of: Sequence[str], position: int, devices: int) -> dict[str, str]:
    """What tells the worker at `position` which of the GPUs are its own; where there are few, several share one."""
    if len(of) < 2 * devices:
        return {}
    first = position % (len(of) // devices) * devices
    return {GPUS: ",".join(of[first : first + devices])}


def start_workers(folder: Path, count: int, devices: int = 1) -> list[subprocess.Popen[bytes]]:
    """The same command, so many times beside this one: nobody waits for the slowest of a batch.

    Each has GPUs of its own, so has this process from now on.
    """
    if count < 1:
        return []
    there = gpus()
    os.environ.update(share_gpus(there, 0, devices))
    environment = child_environment() | {WORKER: str(os.getpid())}
    command = [sys.executable, "-m", "frostline.train", *sys.argv[1:]]
    workers = []
    for i in range(1, count + 1):  # this process says what there is to say, also of their trials
        environment |= share_gpus(there, i, devices)
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
