"""The database of studies, waited for where it is locked, or is being started again."""

from __future__ import annotations

import functools
import logging
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, ProgrammingError

from frostline.errors import FrostlineError, first_line
from frostline.text import duration, hide_password

log = logging.getLogger("frostline")

PATIENCE_S = 600.0
HURRY_S = 5.0
OPENINGS = 8  # tries, where several processes create the tables at a time


class DatabaseGone(FrostlineError):
    """A database of studies has not answered for long, or is none any more."""


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
        began = time.monotonic()
        for wait in _waits():
            try:
                return method(self, *args, **kwargs)
            except (StorageInternalError, DBAPIError) as error:
                cause = error.__cause__ or error
                why = hide_password(first_line(getattr(cause, "orig", None) or cause))
                if not is_away(error):
                    if isinstance(cause, OperationalError):
                        raise DatabaseGone(f"the database of studies cannot be used any more ({why})") from None
                    raise
                patience = HURRY_S if PatientStorage.hurries else PATIENCE_S
                if time.monotonic() - began > patience:
                    raise DatabaseGone(
                        f"the database of studies has not answered for {duration(patience)} ({why}): when it is "
                        "back, the same command goes on"
                    ) from None
                self.say(why)
                time.sleep(wait)
        raise AssertionError("there is always another wait")

    return again


def _waits() -> Iterator[float]:
    wait = 0.1
    while True:
        yield wait * random.uniform(0.5, 1.0)  # or all that wait would come back at a time
        wait = min(10.0, 2 * wait)


class PatientStorage(RDBStorage):
    """Tries again for `PATIENCE_S` what fails because the database is away, and says so once."""

    told = False
    hurries = False
    """Whether this process is being stopped, and waits for no database any longer than `HURRY_S`."""

    def say(self, why: str) -> None:
        """Tell once that the database is waited for."""
        if not self.told:
            self.told = True
            log.warning(f"the database of studies does not answer ({why}): trying again for {duration(PATIENCE_S)}")


# What Optuna's cache of trials asks of it beside the public methods.
_OF_THE_CACHE = {
    *("_create_new_trial", "_set_trial_param", "_get_best_trial_id", "_get_trials"),
    "get_trial_id_from_study_id_trial_number",
}
for _name in BaseStorage.__abstractmethods__ | _OF_THE_CACHE:
    setattr(PatientStorage, _name, _patient(getattr(RDBStorage, _name)))


def open_storage(url: str) -> RDBStorage:
    """Open or create a database of studies. Raises `FrostlineError` when that is not possible."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        if not url.startswith("sqlite:///"):
            return _open_at_last(url, {"pool_pre_ping": True})
        file = Path(url.removeprefix("sqlite:///"))
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock")):  # two processes may come first
            return _open_at_last(url, {"connect_args": {"timeout": 60}})
    except Exception as error:  # SQLAlchemy, Alembic and the database's driver raise their own
        raise FrostlineError(
            f"hydra.sweeper.storage={hide_password(url)}: cannot be opened as a database of studies "
            f"({hide_password(first_line(error))})"
        ) from None


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
