"""A PostgreSQL server of its own in a folder, from Debian's package."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from frostline.search.storage import open_storage

BIN = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
T = TypeVar("T")
PORT = 5544
ADDRESS = f"postgresql+psycopg://postgres@127.0.0.1:{PORT}/postgres"


class Server:
    """A server of its own, in a folder; `network` may ask it too."""

    def __init__(self, folder: Path, network: str = "") -> None:
        self._data, self._folder = folder / "data", folder
        self._listen = "*" if network else "localhost"
        self._call("initdb", "-D", str(self._data), "-A", "trust")
        if network:
            with (self._data / "pg_hba.conf").open("a") as access:
                access.write(f"host all all {network} trust\n")

    def _call(self, program: str, *arguments: str) -> None:
        assert BIN is not None
        as_postgres = ["setpriv", "--reuid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        subprocess.run(
            [*as_postgres, str(BIN / program), *arguments], check=True, capture_output=True, timeout=60, cwd="/"
        )

    def start(self) -> None:
        options = f"-p {PORT} -k {self._folder} -c listen_addresses={self._listen}"
        self._call("pg_ctl", "-D", str(self._data), "-o", options, "-l", str(self._folder / "log"), "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        self._call("pg_ctl", "-D", str(self._data), "-m", mode, "-w", "stop")


def read_trials(address: str, study: str) -> list[FrozenTrial]:
    """All trials of a study, its connections closed."""
    return read_study(address, study, lambda opened: opened.get_trials(deepcopy=False))


def read_study(address: str, study: str, read: Callable[[optuna.Study], T]) -> T:
    """What `read` reads of a study, its connections closed."""
    storage = open_storage(address)
    found = read(optuna.load_study(study_name=study, storage=storage))
    if isinstance(storage, RDBStorage):
        storage.engine.dispose()
    return found


@contextmanager
def running_server(folder: Path, network: str = "") -> Iterator[Server]:
    """A server that has been started in `folder`, and is stopped in the end; `network` may ask it too."""
    if os.geteuid() == 0:
        for parent in (folder, *folder.parents[:3]):  # one more where pytest has workers
            if parent == Path("/tmp"):
                break
            parent.chmod(0o755)
        shutil.chown(folder, "postgres")
    server = Server(folder, network)
    server.start()
    try:
        yield server
    finally:
        server.stop()
