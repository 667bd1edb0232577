"""Which files lie below the root of a data set, and of which class each is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from frostline.data.foreign import VOLUMES
from frostline.data.images import EXTENSIONS, is_image_file
from frostline.errors import ConfigError, FrostlineError
from frostline.task import Task

SPLIT_WORDS = {
    "train": {"train", "training", "trn", "tr"},
    "val": {"val", "valid", "validation", "dev", "vld"},
    "test": {"test", "testing", "tst", "ts", "holdout"},
}
OUTSIDE = "in no folder of a class"


class FolderTask(NamedTuple):
    """A task, and by folder below the root the class of what it holds."""

    task: Task
    folders: dict[str, str]
    files: Mapping[str, str] | None = None
    """By path below the root the class, where a table says it and not the folders."""


class Listing(NamedTuple):
    """Every file below the root, by path: those of a class, and the others with the reason."""

    files: dict[str, str]
    outside: dict[str, str]


def list_files(root: Path, task: FolderTask) -> Listing:
    """Every file below the root. Raises `ConfigError` for a class without any image."""
    files: dict[str, str] = {}
    outside: dict[str, str] = {}
    for path in files_below(root):
        label = _label(path, task)
        if label is not None and not any(is_hidden(part) for part in PurePosixPath(path).parts):
            files[path] = label
        else:
            outside[path] = _why_outside(path, task)
    counted = dict.fromkeys(task.folders or task.task.classes, 0)
    volumes: dict[str, str] = {}
    for path, label in files.items():
        where = label if task.files is not None else _folder_of(path, task.folders)
        assert where is not None
        if counted[where] == 0 and may_be_image(root / path):
            counted[where] = 1
        if path.lower().endswith(tuple(VOLUMES)):
            volumes.setdefault(where, path)
    for where, count in counted.items():
        if not count:
            what = f"class {where}" if task.files is not None else f"folder {where!r} (for {task.folders[where]})"
            volume = volumes.get(where)
            hint = f"; {volume} is a volume: write its slices first, `frostline slices`" if volume else ""
            raise ConfigError(f"data.root={root}: {what} holds no images{hint}")
    return Listing(files, outside)


def _label(path: str, task: FolderTask) -> str | None:
    if task.files is not None:
        return task.files.get(path)
    folder = _folder_of(path, task.folders)
    return None if folder is None else task.folders[folder]


def _folder_of(path: str, folders: Mapping[str, str]) -> str | None:
    parts = PurePosixPath(path).parts[:-1]
    return next((f for f in ("/".join(parts[:n]) for n in range(1, len(parts) + 1)) if f in folders), None)


def _why_outside(path: str, task: FolderTask) -> str:
    if any(is_hidden(part) for part in PurePosixPath(path).parts):
        return "hidden"
    return OUTSIDE if task.files is None else "not in data.table"


def published_split(path: str) -> str | None:
    """The split that a folder in a path names: `train/benign/1.png`, `benign/Valid set/1.png`; None when none does."""
    part = published_part(path)
    return None if part is None else part[1]


def published_part(path: str) -> tuple[str, str] | None:
    """The folder that names a split, and the split; None when none does."""
    for folder in PurePosixPath(path).parts[:-1]:
        for split, words in SPLIT_WORDS.items():
            if words_of(folder) & words:
                return folder, split
    return None


def files_below(folder: Path) -> Iterator[str]:
    """Every file below a folder; links to folders are followed once and never upwards, so that they cannot loop."""

    def refuse(error: OSError) -> None:
        raise FrostlineError(f"{error.filename} cannot be read ({error.strerror})")

    met: set[Path] = set()
    waiting = [folder]
    while waiting:  # real folders first: one that is also linked keeps its own place
        links: list[Path] = []
        for start in waiting:
            for parent, subfolders, files in os.walk(start, onerror=refuse):
                here, real = Path(parent), Path(parent).resolve()
                if real in met:
                    subfolders.clear()
                    continue
                met.add(real)
                linked = sorted(name for name in subfolders if (here / name).is_symlink())
                links += [here / name for name in linked if not real.is_relative_to((here / name).resolve())]
                subfolders[:] = sorted(set(subfolders) - set(linked))
                yield from ((here / name).relative_to(folder).as_posix() for name in sorted(files))
        waiting = links


def may_be_image(path: Path) -> bool:
    """Whether reading is worth a try; a broken link to an image is one that cannot be read."""
    broken = path.suffix.lower() in EXTENSIONS and path.is_symlink() and not path.exists()
    return broken or (not is_hidden(path.name) and is_image_file(path))


def is_hidden(name: str) -> bool:
    """Whether a file or folder is no part of a data set by its name."""
    return name.startswith(".") or name == "__MACOSX"  # macOS puts "._x.jpg" and __MACOSX into archives


def words_of(folder: str) -> set[str]:
    """The words in the name of a folder, in small letters."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", folder)}
