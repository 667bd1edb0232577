"""Several processes that train one network together: each sees its share of every batch, and holds all of the weights.

The run's own process starts the others, on this machine, and alone writes to the run folder and to the tracker.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

from frostline.errors import FrostlineError, Stopped
from frostline.training.hardware import Hardware

READY = "ready"
ENDS_S = 60.0  # how long the others may take to end after the training


@dataclass(frozen=True)
class Place:
    """Which of the processes that train together this one is, from 0, of how many, and where they meet."""

    rank: int = 0
    of: int = 1
    port: int = 0

    def strategy(self, hardware: Hardware, stages_join: bool) -> Any:
        """What Lightning is to train with; `stages_join`: whether some layers wait before they train."""
        if self.of == 1:
            return "auto"
        # Every process has the same statistics of BatchNorm by itself on GPUs; on a CPU see `share_statistics`.
        return DDPStrategy(
            process_group_backend="nccl" if hardware.accelerator == "gpu" else "gloo",
            forward_sync_buffers=False,
            find_unused_parameters=stages_join,
            cluster_environment=_Together(self),
        )


ALONE = Place()


class _Together(ClusterEnvironment):
    """What Lightning asks of processes that somebody else has started."""

    def __init__(self, place: Place) -> None:
        self._place = place

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        return self._place.port

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self._place.of

    def set_world_size(self, size: int) -> None:
        pass

    def global_rank(self) -> int:
        return self._place.rank

    def set_global_rank(self, rank: int) -> None:
        pass

    def local_rank(self) -> int:
        return self._place.rank

    def node_rank(self) -> int:
        return 0


def global_mean(loss: Tensor, weight: Tensor) -> Tensor:
    """A mean over this process's share of a batch, scaled so that the mean over processes is that over the batch.

    `weight` is what the loss was divided by: images, or the sum of their class weights.
    """
    everyones = weight.detach().clone()
    torch.distributed.all_reduce(everyones)
    return loss * (weight * torch.distributed.get_world_size() / everyones)


def share_statistics(module: torch.nn.Module) -> None:
    """Give every process the first one's BatchNorm statistics: where they are not gathered, each has its own."""
    for buffer in module.buffers():
        torch.distributed.broadcast(buffer, 0)


@contextmanager
def replicas(run_dir: Path, count: int, checkpoint: Path | None) -> Iterator[Place]:
    """Start the other processes of a run of `count`, wait until they have read their data, and end them.

    Raises `FrostlineError` with what one of them says that fails.
    """
    if count == 1:
        yield ALONE
        return
    place = Place(0, count, _free_port())
    others = []
    try:
        for rank in range(1, count):
            code = (
                f"from frostline.training.replica import main; main({str(run_dir)!r}, {rank}, {count}, {place.port}, "
            )
            code += f"{str(checkpoint or '')!r}, {os.getpid()})"
            with _log_of(run_dir, rank).open("w") as said:
                others.append(
                    subprocess.Popen(
                        [sys.executable, "-c", code],
                        stdin=subprocess.DEVNULL,
                        stdout=said,
                        stderr=said,
                        start_new_session=True,  # a terminal's Ctrl-C is for the run's own process
                    )
                )
        _wait_until_ready(run_dir, others)
        yield place
        if torch.distributed.is_initialized():  # or metrics that are computed later would wait for the others
            torch.distributed.destroy_process_group()
        for process in others:
            with suppress(subprocess.TimeoutExpired):  # all is trained: it is ended below
                process.wait(ENDS_S)
    except Stopped:
        raise
    except Exception as error:
        if (failure := _failure(run_dir, others)) is not None:
            raise failure from error
        raise
    finally:
        for process in others:
            process.kill()
            process.wait()
        for rank in range(1, count):
            _log_of(run_dir, rank).unlink(missing_ok=True)


def tell_ready(parent: int) -> None:
    """Tell the run's own process that this one can begin, and end when that is gone."""
    print(READY, flush=True)

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=follow, name="parent", daemon=True).start()


def _log_of(run_dir: Path, rank: int) -> Path:
    return run_dir / f".process-{rank}.log"


def _wait_until_ready(run_dir: Path, others: list[subprocess.Popen[bytes]]) -> None:
    for rank, process in enumerate(others, 1):
        while READY not in _log_of(run_dir, rank).read_text().splitlines():
            if process.poll() is not None:
                raise FrostlineError(f"process {rank} of the training has ended")
            time.sleep(0.05)


def _failure(run_dir: Path, others: list[subprocess.Popen[bytes]]) -> FrostlineError | None:
    """What the first of the processes says that failed by itself; None where none did."""
    time.sleep(1.0)  # the others' connections break before it has ended
    for rank, process in enumerate(others, 1):
        if process.poll():
            lines = [line for line in _log_of(run_dir, rank).read_text().splitlines() if line.strip() and line != READY]
            why = lines[-1] if lines and process.returncode > 0 else "it was killed"
            return FrostlineError(f"process {rank} of the training failed: {why}")
    return None


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
