"""Hosts of Linux namespaces: each with a network, mounts, processes, a name, a boot of a kernel and a clock of its own.

What they share is the kernel itself: it calls itself differently on each, as locks on files could tell otherwise what
they cannot tell between two machines.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.postgres import PORT
from tests.conftest import ROOT

NETWORK = "10.77.0.0/16"
# faketime fakes the sleeps of Python, too, and does so wrongly.
_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *found) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int failed = real(clock, found);
  if (!failed && clock == CLOCK_REALTIME) found->tv_sec += 3600 * atoi(getenv("HOURS"));
  return failed;
}
"""
_BEGIN = """
set -eu
mount -t tmpfs tmpfs /dev/shm  # or processes of one number would share it
hostname "$1"; mount --bind "$2" "$3"; mount --bind "$4" /proc/sys/kernel/random/boot_id
shift 4
exec "$@"
"""


def missing() -> str:
    """Why there can be no such hosts here; "" where there can."""
    if os.geteuid():
        return "needs root, to make namespaces"
    gone = [name for name in ("ip", "unshare", "hostname", "cc") if shutil.which(name) is None]
    return f"needs {', '.join(gone)}: apt-get install iproute2 util-linux hostname gcc libc6-dev" if gone else ""


@dataclass(frozen=True)
class Host:
    """One host: `disk` is mounted at `logs`."""

    number: int
    disk: Path
    logs: Path
    boot: Path
    clock: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"frostline-{self.number}"

    @property
    def database(self) -> str:
        return f"postgresql+psycopg://postgres@10.77.{self.number}.1:{PORT}/postgres"

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Start train.py on it, as `run`."""
        return self.run("train.py", *options, f"logs_dir={self.logs}")

    def run(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Python on it; killed, all its processes are."""
        into = ("ip", "netns", "exec", self.name)
        alone = ("unshare", "--mount", "--uts", "--pid", "--mount-proc", "--fork", "--kill-child")
        begin = ("sh", "-c", _BEGIN, "sh", self.name, str(self.disk), str(self.logs), str(self.boot))
        clock = ("env", *(f"{name}={value}" for name, value in self.clock.items()))
        process = subprocess.Popen(
            [*into, *alone, *begin, *clock, sys.executable, *arguments],
            cwd=ROOT,
            env=os.environ | {"STUDIES": self.database},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def pull_the_plug(self, out: bool) -> None:
        """Cut its network off, or give it back."""
        _ip("link", "set", f"fl-{self.number}", "down" if out else "up")


@contextmanager
def host(number: int, disk: Path, logs: Path, hours: int = 0) -> Iterator[Host]:
    """A host with a network to this one, where `disk` is at `logs`, both made, and the clock is off by `hours`."""
    disk.mkdir(parents=True, exist_ok=True)
    logs.mkdir(parents=True, exist_ok=True)
    boot = logs.with_name(f"boot-{number}")
    boot.write_text(f"{uuid.uuid4()}\n")
    library = logs.with_name("clock.so")
    build = ["cc", "-shared", "-fPIC", "-O2", "-x", "c", "-o", str(library), "-"]
    subprocess.run(build, input=_CLOCK, text=True, check=True, timeout=60)
    made = Host(number, disk, logs, boot, {"LD_PRELOAD": str(library), "HOURS": str(hours)})
    _remove(made)  # what a test that was killed has left
    _ip("netns", "add", made.name)
    try:
        _ip("link", "add", f"fl-{number}", "type", "veth", "peer", "name", "eth0", "netns", made.name)
        _ip("address", "add", f"10.77.{number}.1/30", "dev", f"fl-{number}")
        _ip("link", "set", f"fl-{number}", "up")
        _ip("-n", made.name, "address", "add", f"10.77.{number}.2/30", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", made.name, "link", "set", device, "up")
        yield made
    finally:
        for process in made.started:
            process.kill()
            process.communicate()
        _remove(made)


def _remove(made: Host) -> None:
    """Its cable and its name; a namespace lives as long as a process in it."""
    for what in (("link", "delete", f"fl-{made.number}"), ("netns", "delete", made.name)):
        subprocess.run(["ip", *what], capture_output=True, check=False, timeout=20)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=20)
