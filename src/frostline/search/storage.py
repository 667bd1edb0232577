"""The database of studies, waited for where it is locked, or is being started again."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, ProgrammingError

from frostline.errors import ConfigError, FrostlineError, first_line
from frostline.search.journal import open_journal
from frostline.search.patience import DatabaseGone, Patience
from frostline.text import hide_password

SQLITE, JOURNAL = "sqlite:///", "journal:///"
FILES = {SQLITE: "studies.db", JOURNAL: "studies.journal"}  # in the folder of logs, if no other place is given
KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
OPENINGS = 8  # tries, where several processes create the tables at a time


def is_away(error: BaseException) -> bool:
    """Whether a database did not answer this time, and may the next: locked, or its server is being started again."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, DBAPIError):
            text = str(found.orig).lower()
            if "sqlite" in type(found.orig).__module__:
                return any(words in text for words in ("locked", "busy", "full"))
            return found.connection_invalidated or isinstance(found, (OperationalError, InterfaceError))
        found = found.__cause__ or found.__context__
    return False


def _patient(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def again(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        patience = Patience()
        while True:
            try:
                return method(self, *args, **kwargs)
            except (StorageInternalError, DBAPIError) as error:
                cause = error.__cause__ or error
                why = hide_password(first_line(getattr(cause, "orig", None) or cause))
                if not is_away(error):
                    if isinstance(cause, OperationalError):
                        raise DatabaseGone(f"the database of studies cannot be used any more ({why})") from None
                    raise
                patience.wait(why)

    return again


class PatientStorage(RDBStorage):
    """Tries again what fails because the database is away."""


# What Optuna's cache of trials asks of it beside the public methods.
_OF_THE_CACHE = {
    *("_create_new_trial", "_set_trial_param", "_get_best_trial_id", "_get_trials"),
    "get_trial_id_from_study_id_trial_number",
}
for _name in BaseStorage.__abstractmethods__ | _OF_THE_CACHE:
    setattr(PatientStorage, _name, _patient(getattr(RDBStorage, _name)))


def absolute_storage(url: str) -> str:
    """The address of the studies, that of a file whole. Raises `ConfigError` when it is none."""
    if "://" not in url:
        raise ConfigError(
            f"hydra.sweeper.storage={url}: must be the address of a database, such as {SQLITE}logs/studies.db"
        )
    for kind in FILES:
        if url.startswith(kind):
            return f"{kind}{Path(url.removeprefix(kind)).absolute()}"
    return url


def storages_in(logs_dir: Path) -> list[str]:
    """The addresses of the databases of studies that lie in a folder of logs."""
    return [f"{kind}{logs_dir / name}" for kind, name in FILES.items() if (logs_dir / name).is_file()]


def asking_lock(study: optuna.Study, otherwise: Path) -> FileLock:
    """The lock under which processes of one machine ask for trials of a study: in the folder `otherwise`.

    That of SQLite is beside its file, since Optuna may give a trial that waits there to two who ask at a moment, and
    those who share the file may have folders of logs of their own.
    """
    backend = getattr(study._storage, "_backend", None)  # what Optuna's cache of trials wraps
    if isinstance(backend, RDBStorage) and backend.url.startswith(SQLITE):
        file = Path(backend.url.removeprefix(SQLITE)).resolve()  # by whatever name it is opened
        return FileLock(file.with_name(f".{file.name}.ask"))
    return FileLock(otherwise / "ask")


def open_storage(url: str) -> BaseStorage:
    """Open or create a database of studies. Raises `FrostlineError` when that is not possible."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        if url.startswith(JOURNAL):
            return open_journal(Path(url.removeprefix(JOURNAL)))
        if not url.startswith(SQLITE):
            return _open_at_last(url, {"pool_pre_ping": True, "connect_args": _signs_of_life(url)})
        file = Path(url.removeprefix(SQLITE)).resolve()
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock")):  # two processes may come first
            return _open_at_last(url, {"connect_args": {"timeout": 60}})
    except Exception as error:  # SQLAlchemy, Alembic and the database's driver raise their own
        raise FrostlineError(
            f"hydra.sweeper.storage={hide_password(url)}: cannot be opened as a database of studies "
            f"({hide_password(first_line(error))})"
        ) from None


def _signs_of_life(url: str) -> dict[str, Any]:
    """Arguments by which PostgreSQL and its clients miss each other within a minute where a host or a cable is gone.

    Else the server keeps the locks of a host that vanished in the middle of a write for hours, and all others wait. In
    the words of libpq (PostgreSQL's documentation, "Parameter Key Words"); an address may name options of its own.
    """
    address = make_url(url)
    if address.get_driver_name() not in ("psycopg", "psycopg2"):
        return {}
    at_the_server: dict[str, int | str] = {f"tcp_{name}": seconds for name, seconds in KEEPALIVES.items()}
    at_the_server |= {"idle_in_transaction_session_timeout": "60s", "tcp_user_timeout": "60s"}
    options = " ".join(f"-c {name}={value}" for name, value in at_the_server.items())
    arguments = {"connect_timeout": 10, "tcp_user_timeout": 60_000, **KEEPALIVES, "options": options}
    return {name: value for name, value in arguments.items() if name not in address.query}


def _open_at_last(url: str, arguments: dict[str, Any]) -> RDBStorage:
    for left in reversed(range(OPENINGS)):
        try:
            return PatientStorage(url, engine_kwargs=arguments)
        except (IntegrityError, ProgrammingError, OperationalError) as error:  # somebody else is creating the tables
            created = any(words in str(error).lower() for words in ("exists", "duplicate", "unique", "locked"))
            if not left or not created:
                raise
            time.sleep(random.uniform(0.1, 1.0))
    raise AssertionError("the last opening returns or raises")
