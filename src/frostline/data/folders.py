"""Which files of which class lie below a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from frostline.config.schema import CLASSES
from frostline.data.images import EXTENSIONS, is_image_file
from frostline.errors import ConfigError, FrostlineError


def guess_folders(root: Path) -> dict[str, str]:
    """Map folders of `root` to classes by the words of their names ("Bengin cases" is benign, "non-malignant" nothing).

    Raises `ConfigError` unless exactly one folder names each class, and no other class beside it.
    """
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    claims = [(name, label) for name in names for label in _named_classes(name)]
    found = dict(claims)
    if sorted(label for _, label in claims) != sorted(CLASSES) or len(found) != len(CLASSES):
        raise ConfigError(
            f"data.root={root}: has the folders {', '.join(names) or '(none)'}; needs one for each of "
            f"{', '.join(CLASSES)}. Map them: 'data.folders={{NAME: benign, NAME: malignant, NAME: normal}}'"
        )
    return found


def check_folders(root: Path, folders: Mapping[str, str]) -> None:
    """Raise what `scan_folder` raises for folders that are missing or hold no pictures, before a file is read."""
    _list_files(root.resolve(), folders or guess_folders(root.resolve()))


def _list_files(root: Path, folders: Mapping[str, str]) -> dict[str, int]:
    files: dict[str, int] = {}
    _refuse_overlaps(folders)
    for folder, name in folders.items():
        if not (root / folder).is_dir():
            there = ", ".join(sorted(e.name for e in root.iterdir() if e.is_dir())) or "none"
            raise ConfigError(f"data.root={root}: has no folder {folder!r} (for {name}); its folders: {there}")
        below = _pictures_below(root / folder)
        if not below:
            raise ConfigError(f"data.root={root}: folder {folder!r} (for {name}) holds no pictures")
        files.update({p.relative_to(root).as_posix(): CLASSES.index(name) for p in below})
    for name in CLASSES:
        if name not in folders.values():
            raise ConfigError(
                f"data.folders: no folder for {name}; map one folder or more to each of {', '.join(CLASSES)}"
            )
    return files


def _refuse_overlaps(folders: Mapping[str, str]) -> None:
    """Every picture has one class, and its path begins at the root."""
    parts = {folder: PurePosixPath(folder).parts for folder in folders}
    for folder, own in parts.items():
        if not own or ".." in own or PurePosixPath(folder).is_absolute():
            raise ConfigError(f"data.folders: {folder!r}: must be a folder below data.root")
        for other, its in parts.items():
            if other != folder and its[: len(own)] == own:
                raise ConfigError(f"data.folders: {other!r} lies in {folder!r}: its pictures would have two classes")


def _pictures_below(folder: Path) -> list[Path]:
    """Pictures at any depth, sorted; links to folders are followed once and never upwards, so that they cannot loop."""

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
    return sorted(p for p in found if is_image_file(p) or _is_broken_picture_link(p))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"  # macOS puts "._x.jpg" and __MACOSX into archives


def _is_broken_picture_link(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS and path.is_symlink() and not path.exists()


def _named_classes(folder: str) -> list[str]:
    """Classes that the words of a folder's name stand for: none when it negates them."""
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", folder)}
    if words & {"non", "not", "no", "without", "un", "ab"}:
        return []
    spellings = {"benign": {"benign", "bengin"}, "malignant": {"malignant"}, "normal": {"normal"}}
    return [label for label, known in spellings.items() if words & (known | {f"{word}s" for word in known})]
