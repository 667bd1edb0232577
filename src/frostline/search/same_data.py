"""One data set a study: every trial looks whether its files are still those that the study was begun with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import optuna

from frostline.config.schema import DataConfig
from frostline.config.tables import read_table
from frostline.data.changes import changes_in_words
from frostline.data.dataset import fingerprint_data, scan_data
from frostline.errors import FrostlineError
from frostline.files import write_csv

FILE = "data.csv"


class DataChanged(FrostlineError):
    """The files of a data set are others than those that a study was begun with."""


def files_of(config: DataConfig, cache_dir: Path) -> dict[str, str]:
    """Checksum of every image of a data set by path."""
    return {r.path: r.sha256 for r in scan_data(config, cache_dir).records}


def keep_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write down in the folder of a study, once, with which files it was begun."""
    if not (folder / FILE).is_file():
        write_csv(folder / FILE, ("path", "sha256"), [*files.items()], private=True)


def check_same_data(study: optuna.Study, folder: Path, config: DataConfig, cache_dir: Path) -> None:
    """Raise `DataChanged`, naming files, where the data set is not the one of the study any more."""
    begun = study.user_attrs.get("frostline", {}).get("data")
    if begun is None or fingerprint_data(config, cache_dir) == begun:
        return
    named = changed_files(folder, files_of(config, cache_dir))
    raise DataChanged(
        f"the data set is not the one that study {study.study_name!r} was begun with"
        + (f" ({named})" if named else "")
        + ": put the files back and give the same command again, or begin another study with study=NAME"
    )


def changed_files(folder: Path, now: Mapping[str, str]) -> str:
    """How these files differ from those that the study in `folder` was begun with; "" where nothing says so."""
    try:
        then = {row["path"]: row["sha256"] for row in read_table(folder / FILE, ("path", "sha256")).rows}
    except FrostlineError:  # it is not begun, or on another machine
        return ""
    return changes_in_words(then, now)
