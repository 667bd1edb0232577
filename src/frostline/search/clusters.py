"""Clusters, to which trials are handed over one by one: SLURM by submitit, and Ray."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from hydra.plugins.launcher import Launcher
from omegaconf import OmegaConf

from frostline.errors import FrostlineError, first_line

log = logging.getLogger("frostline")

TIMED_OUT = "UncompletedJobError"  # submitit's: in a job that SLURM is about to end, and of one that it has ended
LOST_JOBS = (TIMED_OUT, "WorkerCrashedError", "NodeDiedError", "LocalRayletDiedError", "OutOfMemoryError")


class NotLaunched(FrostlineError):
    """A cluster cannot be reached, or has refused a job."""


class Cluster(Protocol):
    """A cluster with what its launcher was given."""

    @property
    def threads_of_a_job(self) -> int | None:
        """How many cores a job is given; None where it is not said."""
        ...

    def prepare(self, folder: Path) -> None:
        """Do what the first jobs of a study, whose folder this is, would otherwise do all at a time."""
        ...


class Slurm:
    """Jobs of submitit."""

    def __init__(self, launcher: Any) -> None:
        self._params: dict[str, Any] = launcher.params

    @property
    def threads_of_a_job(self) -> int | None:
        """As in `Cluster`."""
        return _whole(self._params.get("cpus_per_task"))

    def prepare(self, folder: Path) -> None:
        """Make the folder of the jobs' files, for its owner alone: they may name a database's password."""
        (folder / ".submitit").mkdir(mode=0o700, exist_ok=True)
        self._params["submitit_folder"] = str(folder / ".submitit" / "%j")


class Ray:
    """Tasks of Ray."""

    def __init__(self, launcher: Any) -> None:
        self._options: Mapping[str, Any] = launcher.ray_cfg

    @property
    def threads_of_a_job(self) -> int | None:
        """As in `Cluster`."""
        return _whole((self._options.get("remote") or {}).get("num_cpus"))

    def prepare(self, folder: Path) -> None:
        """Connect, or start a cluster of this machine, once for all threads; nothing is told to Ray's makers."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray: Any = import_module("ray")  # an extra
        options: Any = OmegaConf.to_container(self._options["init"], resolve=True)
        try:
            _reach(options.get("address") or os.environ.get("RAY_ADDRESS") or "")
            ray.init(**options, ignore_reinit_error=True)
        except Exception as error:  # of many kinds, by what is wrong
            where = options.get("address") or os.environ.get("RAY_ADDRESS") or "on this machine"
            raise NotLaunched(f"hydra.launcher.ray.init: no Ray {where} ({first_line(error)})") from error
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        for option, name in (("num_cpus", "CPU"), ("num_gpus", "GPU")):
            wanted = float((self._options.get("remote") or {}).get(option) or 0)
            largest = max((node.get(name, 0) for node in nodes), default=0)
            if wanted > largest:
                log.warning(
                    f"hydra.launcher.ray.remote.{option}={wanted:g}: no node has more than {largest:g}; trials wait "
                    "for one that has"
                )


def _reach(address: str) -> None:
    """Raise `OSError` where nobody listens at HOST:PORT: Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _whole(cores: Any) -> int | None:
    return None if cores is None else max(1, int(cores))


LAUNCHERS: dict[str, Callable[[Any], Cluster]] = {"hydra_submitit_launcher": Slurm, "hydra_ray_launcher": Ray}


def cluster_of(launcher: Launcher) -> Cluster | None:
    """The cluster of a launcher of Hydra; None for one that is none."""
    package = type(launcher).__module__.split(".")[1:2]
    for name, kind in LAUNCHERS.items():
        if [name] == package:
            return kind(launcher)
    return None
