"""Which files of which class lie below a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from frostline.data.images import EXTENSIONS, is_image_file
from frostline.errors import ConfigError, FrostlineError
from frostline.task import LUNG, Task, choose_positive

SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "test", "testing"}


class FolderTask(NamedTuple):
    """A task, and by folder below the root the class of what it holds."""

    task: Task
    folders: dict[str, str]


def find_task(root: Path, folders: Mapping[str, str], classes: Sequence[str], positive: str | None) -> FolderTask:
    """The classes of a data set, and which of its folders holds which, from what is given of `data.folders` and so on.

    Without classes they are those that `folders` names, and without these the folders themselves; folders whose names
    say benign, malignant and normal in some way ("Bengin cases") are these three. Raises `ConfigError` when folders are
    missing, lie in one another, or cannot be the classes.
    """
    root = root.resolve()
    there = _subfolders(root)
    if not folders:
        folders = _guess(root, there, classes)
    _refuse_overlaps(folders)
    names = tuple(classes) or tuple(sorted(set(folders.values())))
    for folder, name in folders.items():
        if not (root / folder).is_dir():
            has = ", ".join(there) or "none"
            raise ConfigError(f"data.root={root}: has no folder {folder!r} (for {name}); its folders: {has}")
    for name in names:
        if name not in folders.values():
            raise ConfigError(
                f"data.folders: no folder for {name}; map one folder or more to each of {', '.join(names)}"
            )
    return FolderTask(Task(names, choose_positive(names, positive)), dict(folders))


def list_files(root: Path, folders: Mapping[str, str]) -> dict[str, str]:
    """By path below `root` the class of every image in `folders`. Raises `ConfigError` for a folder without any."""
    files: dict[str, str] = {}
    for folder, name in folders.items():
        below = _images_below(root / folder)
        if not below:
            raise ConfigError(f"data.root={root}: folder {folder!r} (for {name}) holds no images")
        files.update({p.relative_to(root).as_posix(): name for p in below})
    return files


def _guess(root: Path, there: Sequence[str], classes: Sequence[str]) -> dict[str, str]:
    """Folder -> class by the names of the folders: of `classes` when they are given."""
    spelled = [(folder, name) for folder in there for name in _named_classes(folder)]
    once = len(dict(spelled)) == len(spelled) and sorted(name for _, name in spelled) == sorted(LUNG.classes)
    as_lung = dict(spelled) if once else {}
    if classes:
        same = {folder: name for name in classes for folder in there if folder.casefold() == name.casefold()}
        guessed = {**{folder: name for folder, name in as_lung.items() if name in classes}, **same}
        if sorted(guessed.values()) != sorted(classes):
            has, wanted = ", ".join(there) or "(none)", ", ".join(classes)
            mapping = ", ".join(f"NAME: {name}" for name in classes)
            raise ConfigError(
                f"data.root={root}: has the folders {has}; needs one for each of {wanted}. "
                f"Map them: 'data.folders={{{mapping}}}'"
            )
        return guessed
    named = [folder for folder in there if not _words(folder) & SPLIT_NAMES]  # "Test cases" is no class
    if as_lung and not any(_images_below(root / folder) for folder in named if folder not in as_lung):
        return as_lung
    if there and not named:
        raise ConfigError(
            f"data.root={root}: its folders are splits ({', '.join(there)}), not classes; give a folder with one "
            "folder for each class, or list the files with their splits in a manifest (data.split=manifest)"
        )
    holding = [folder for folder in named if _images_below(root / folder)]
    if len(holding) < 2:
        inside = root / (holding or there or ["."])[0]
        within = _subfolders(inside) if inside != root else []
        better = f"; {inside} has {', '.join(within)}: data.root={inside}?" if len(within) > 1 else ""
        raise ConfigError(
            f"data.root={root}: needs one folder with images for each class, two or more; its folders with images: "
            f"{', '.join(holding) or 'none'}{better}"
        )
    return {folder: folder for folder in holding}


def _subfolders(root: Path) -> list[str]:
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not _is_hidden(entry.name))


def _refuse_overlaps(folders: Mapping[str, str]) -> None:
    """Every image has one class, and its path begins at the root."""
    parts = {folder: PurePosixPath(folder).parts for folder in folders}
    for folder, own in parts.items():
        if not own or ".." in own or PurePosixPath(folder).is_absolute():
            raise ConfigError(f"data.folders: {folder!r}: must be a folder below data.root")
        for other, its in parts.items():
            if other != folder and its[: len(own)] == own:
                raise ConfigError(f"data.folders: {other!r} lies in {folder!r}: its images would have two classes")


def _images_below(folder: Path) -> list[Path]:
    """Images at any depth, sorted; links to folders are followed once and never upwards, so that they cannot loop."""

    def refuse(error: OSError) -> None:
        raise FrostlineError(f"{error.filename} cannot be read ({error.strerror})")

    found: list[Path] = []
    met: set[Path] = set()
    for parent, subfolders, files in os.walk(folder, onerror=refuse, followlinks=True):
        here, real = Path(parent), Path(parent).resolve()
        if real in met:
            subfolders.clear()
            continue
        met.add(real)
        subfolders[:] = sorted(
            name for name in subfolders if not _is_hidden(name) and not real.is_relative_to((here / name).resolve())
        )
        found += [here / name for name in files if not _is_hidden(name)]
    return sorted(p for p in found if is_image_file(p) or _is_broken_image_link(p))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"  # macOS puts "._x.jpg" and __MACOSX into archives


def _is_broken_image_link(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS and path.is_symlink() and not path.exists()


def _words(folder: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", folder)}


def _named_classes(folder: str) -> list[str]:
    """Classes that the words of a folder's name stand for: none when it negates them."""
    words = _words(folder)
    if words & {"non", "not", "no", "without", "un", "ab"}:
        return []
    spellings = {"benign": {"benign", "bengin"}, "malignant": {"malignant"}, "normal": {"normal"}}
    return [label for label, known in spellings.items() if words & (known | {f"{word}s" for word in known})]
