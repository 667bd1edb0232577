"""Which files of which class lie below a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from frostline.data.listing import FolderTask, files_below, is_hidden, may_be_image, published_split, words_of
from frostline.errors import ConfigError
from frostline.task import LUNG, Task, choose_positive

DEPTH = 4  # folders below the root that are looked through for the one that was meant


def find_task(root: Path, folders: Mapping[str, str], classes: Sequence[str], positive: str | None) -> FolderTask:
    """The classes of a data set, and which of its folders holds which, from what is given of `data.folders` and so on.

    Without classes they are those that `folders` names, and without these the folders themselves, or those inside of
    folders for train, val and test; folders whose names say benign, malignant and normal in some way ("Bengin cases")
    are these three. Raises `ConfigError` when folders are missing, lie in one another, or cannot be the classes.
    """
    root = root.resolve()
    there = _subfolders(root)
    parts = _split_folders(root, there)
    if not folders:
        folders = _guess_in_parts(root, parts, classes) if parts else _guess(root, there, classes)
    _refuse_overlaps(folders)
    folders = {PurePosixPath(folder).as_posix(): name for folder, name in folders.items()}
    names = tuple(classes) or tuple(sorted(set(folders.values())))
    missing = [folder for folder in folders if not (root / folder).is_dir()]
    if missing and parts:  # a preset's folders, in each of the published parts
        in_parts = {f"{part}/{f}": name for part in parts for f, name in folders.items() if (root / part / f).is_dir()}
        if set(in_parts.values()) == set(folders.values()):
            folders, missing = in_parts, []
    for folder in missing:
        meant = _find_below(root, lambda there, _: set(folders) <= set(there))
        better = f"; did you mean data.root={meant}?" if meant else ""
        raise ConfigError(
            f"data.root={root}: has no folder {folder!r} (for {folders[folder]}); its folders: "
            f"{', '.join(there) or 'none'}{better}"
        )
    for name in names:
        if name not in folders.values():
            raise ConfigError(
                f"data.folders: no folder for {name}; map one folder or more to each of {', '.join(names)}"
            )
    return FolderTask(Task(names, choose_positive(names, positive)), dict(folders))


def _split_folders(root: Path, there: Sequence[str]) -> dict[str, str]:
    """Folder -> split, where two folders or more are published parts of a data set."""
    parts = {folder: split for folder in there if (split := published_split(f"{folder}/x")) is not None}
    others = [folder for folder in there if folder not in parts and _holds_images(root / folder)]
    return parts if len(set(parts.values())) > 1 and not others else {}


def _guess_in_parts(root: Path, parts: Mapping[str, str], classes: Sequence[str]) -> dict[str, str]:
    """Folder -> class for published parts, `train/benign` -> `benign`; they have to hold the same classes."""
    found: dict[str, str] = {}
    names: dict[str, dict[str, str]] = {}
    for part in parts:
        try:
            guessed = _guess(root / part, _subfolders(root / part), classes)
        except ConfigError:
            raise ConfigError(
                f"data.root={root}: {', '.join(parts)} are published parts, but {part} does not hold a folder with "
                f"images for each class: map what there is, 'data.folders={{{part}/NAME: CLASS, ...}}'"
            ) from None
        names[part] = {name.casefold(): name for name in guessed.values()}
        found.update({f"{part}/{folder}": name for folder, name in guessed.items()})
    first, *others = names
    for part in others:
        if set(names[part]) != set(names[first]):
            here, there = (", ".join(sorted(names[p].values())) for p in (first, part))
            raise ConfigError(
                f"data.root={root}: {first} holds the classes {here}, {part} holds {there}: map them, "
                f"'data.folders={{{first}/NAME: CLASS, {part}/NAME: CLASS, ...}}'"
            )
    return {folder: names[first][name.casefold()] for folder, name in found.items()}


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
                f"Map them: 'data.folders={{{mapping}}}'{_meant(root)}"
            )
        return guessed
    named = [folder for folder in there if published_split(f"{folder}/x") is None]  # "Test cases" is no class
    if as_lung and not any(_holds_images(root / folder) for folder in named if folder not in as_lung):
        return as_lung
    holding = [folder for folder in named if _holds_images(root / folder)]
    if len(holding) < 2:
        raise ConfigError(
            f"data.root={root}: needs one folder with images for each class, two or more; its folders with images: "
            f"{', '.join(holding) or 'none'}{_meant(root) or _too_deep(root)}"
        )
    return {folder: folder for folder in holding}


def _meant(root: Path) -> str:
    """The folder further down that would do, as published archives nest them ("X/X/Bengin cases")."""
    better = _find_below(root, lambda there, at: sum(_holds_images(at / f) for f in there) > 1)
    return f"; {better} has {', '.join(_subfolders(better))}: data.root={better}?" if better else ""


def _too_deep(root: Path) -> str:
    """Said where the root is the folder of one class."""
    holds = any(may_be_image(entry) for entry in root.iterdir() if entry.is_file())
    return f"; it holds images itself: one class of data.root={root.parent}?" if holds else ""


def _find_below(root: Path, fits: Callable[[list[str], Path], bool]) -> Path | None:
    level = [root]
    for _ in range(DEPTH):
        level = [at / name for at in level for name in _subfolders(at)][:200]  # enough for any archive
        for at in level:
            if fits(_subfolders(at), at):
                return at
    return None


def _holds_images(folder: Path) -> bool:
    return any(may_be_image(folder / path) for path in files_below(folder))


def _subfolders(root: Path) -> list[str]:
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not is_hidden(entry.name))


def _refuse_overlaps(folders: Mapping[str, str]) -> None:
    """Every image has one class, and its path begins at the root."""
    parts = {folder: PurePosixPath(folder).parts for folder in folders}
    for folder, own in parts.items():
        if not own or ".." in own or PurePosixPath(folder).is_absolute():
            raise ConfigError(f"data.folders: {folder!r}: must be a folder below data.root")
        for other, its in parts.items():
            if other != folder and its[: len(own)] == own:
                raise ConfigError(f"data.folders: {other!r} lies in {folder!r}: its images would have two classes")


def _named_classes(folder: str) -> list[str]:
    """Classes that the words of a folder's name stand for: none when it negates them."""
    words = words_of(folder)
    if words & {"non", "not", "no", "without", "un", "ab"}:
        return []
    spellings = {"benign": {"benign", "bengin"}, "malignant": {"malignant"}, "normal": {"normal"}}
    return [label for label, known in spellings.items() if words & (known | {f"{word}s" for word in known})]
