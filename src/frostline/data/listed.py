"""Names that a user's table gives to files: exact, by their end, or as patterns."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from fnmatch import translate
from pathlib import Path, PurePosixPath

from frostline.config.tables import UserTable
from frostline.data.listing import FolderTask, files_below
from frostline.errors import ConfigError
from frostline.task import Task, choose_positive

WILDCARDS = frozenset("*?")  # brackets stand in real file names too often to begin a pattern


def table_task(table: UserTable, root: Path, classes: Sequence[str], positive: str | None) -> FolderTask:
    """The classes of the files below `root` as the columns `path` and `class` of a table say.

    Without `classes` they are all that it names, in alphabetical order. Raises `ConfigError` as `column_by_path`.
    """
    index = PathIndex(str(root), list(files_below(root)))
    labels, _ = column_by_path(table, "class", index)
    known = {name.casefold(): name for name in classes} or {name.casefold(): name for name in labels.values()}
    files = {path: known[label.casefold()] for path, label in labels.items() if label.casefold() in known}
    names = tuple(classes) or tuple(sorted(set(files.values())))
    absent = [name for name in names if name not in files.values()]
    if absent or len(names) < 2:
        raise ConfigError(
            f"{table.file}: its column {table.columns['class']} names {', '.join(sorted(set(labels.values())))}"
            + (f"; needs {', '.join(absent)}" if absent else ": two classes or more are needed")
        )
    return FolderTask(Task(names, choose_positive(names, positive)), {}, files)


class PathIndex:
    """Finds paths below a root by what a table calls them."""

    def __init__(self, root: str, paths: Sequence[str]) -> None:
        self._root = root.rstrip("/") + "/"
        self._paths = list(paths)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            self._by_name[PurePosixPath(path).name].append(path)

    def find(self, name: str) -> list[str]:
        """The paths that `name` stands for: one of that path or, if there is none, all that end in it or fit it."""
        name = name.replace("\\", "/").removeprefix(self._root).removeprefix("./")
        same = self._by_name.get(PurePosixPath(name).name, [])
        if name in same:
            return [name]
        ending = [path for path in same if path.endswith(f"/{name}") or name.endswith(f"/{path}")]
        if ending or not WILDCARDS & set(name):
            return ending
        fits = re.compile(f"(?:.*/)?{translate(name)}", re.DOTALL).match
        return [path for path in self._paths if fits(path)]


def column_by_path(table: UserTable, column: str, index: PathIndex) -> tuple[dict[str, str], int]:
    """What `table` says in `column` of every path that it names, and how many rows name no file.

    Rows without a value are left alone. A row without wildcards has to name one file. Raises `ConfigError` for one that
    fits several, for a path that gets two values, and for a table that names no file at all.
    """
    found: dict[str, tuple[str, int]] = {}
    without = 0
    for i, row in enumerate(table.rows):
        paths = index.find(row["path"])
        if len(paths) > 1 and not WILDCARDS & set(row["path"]):
            raise ConfigError(f"{table.place(i)}: {row['path']} fits {len(paths)} files, {paths[0]} and {paths[1]}: "
                              "give the folder too")  # fmt: skip
        without += not paths
        for path in paths if row[column] else ():
            before, line = found.setdefault(path, (row[column], i))
            if before != row[column]:
                raise ConfigError(f"{table.place(i)}: {path} has another {column} than in line {table.lines[line]}")
    if without == len(table.rows):
        raise ConfigError(f"{table.file}: none of its {without} rows names a file of the data set, "
                          f"such as {table.rows[0]['path']}")  # fmt: skip
    return {path: value for path, (value, _) in found.items()}, without
