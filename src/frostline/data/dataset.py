"""A data set in its splits: scanned, grouped, drawn; plain values, no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from frostline.config.schema import DataConfig
from frostline.data.folders import FolderTask, find_task, list_files
from frostline.data.grouping import group_records
from frostline.data.images import Reading
from frostline.data.manifest import Example, read_manifest, verify_manifest
from frostline.data.near_copies import find_likeness
from frostline.data.phantoms.patients import PHANTOM_CLASSES, VERSION, write_phantoms
from frostline.data.records import Scan, Unused, refuse_unreadable, scan_folder
from frostline.data.splits import fold_grouped, fold_random, split_grouped, split_random, splits_of_fold
from frostline.errors import ConfigError, FrostlineError
from frostline.task import LUNG, Task, choose_positive


@dataclass(frozen=True)
class SplitData:
    """A data set in its splits, and what leaks between them."""

    root: Path
    task: Task
    examples: tuple[Example, ...]
    unused: tuple[Unused, ...]
    leaks: dict[str, int]
    """Number of val and of test images that have a copy or near copy in training."""

    def of(self, split: str) -> list[Example]:
        """The examples of one split."""
        return [e for e in self.examples if e.split == split]


def find_data(config: DataConfig) -> FolderTask:
    """Which classes the data set of `config` has, and where; reads no image. Raises `ConfigError` as `find_task`."""
    if config.name != "phantom":
        assert config.root is not None  # checked in config/checks.py
        return find_task(Path(config.root), config.folders, config.classes, config.positive)
    classes = tuple(config.classes) or LUNG.classes
    for name in classes:
        if name not in PHANTOM_CLASSES:
            raise ConfigError(
                f"data.classes: there are no phantoms of {name!r}; there are {', '.join(PHANTOM_CLASSES)}"
            )
    task = Task(classes, choose_positive(classes, config.positive))
    return FolderTask(task, {name: name for name in classes})


def check_data(config: DataConfig) -> Task:
    """The task of a data set. Raises `ConfigError` for folders that are missing or empty, before an image is read."""
    task, folders = find_data(config)
    if config.root is not None and config.name != "phantom":
        list_files(Path(config.root).resolve(), folders)
    return task


def scan_data(config: DataConfig, cache_dir: Path) -> Scan:
    """Read the data set that `config` names, writing the embedded one first when it is asked for."""
    return scan_folder(data_root(config, cache_dir), find_data(config), reading_of(config), cache_dir)


def reading_of(config: DataConfig) -> Reading:
    """How files of the data set are read."""
    keep = tuple(sorted(config.dicom_keep))
    return Reading(config.window_center, config.window_width, config.values, config.values_offset, keep)


def fingerprint_data(config: DataConfig, cache_dir: Path) -> str:
    """SHA-256 over path, content and class of every image of a data set, wherever it is, and over its manifest if any.

    How else it is split is for the options to say.
    """
    scan = scan_data(config, cache_dir)
    refuse_unreadable(scan, config.on_unreadable)
    lines = sorted(f"{r.path}\0{r.sha256}\0{scan.task.index(r.label)}" for r in scan.records)
    if scan.task.classes != LUNG.classes:
        lines += scan.task.classes
    if config.manifest is not None:
        lines += sorted(
            f"{e.path}\0{e.group}\0{e.split}" for e in read_manifest(Path(config.manifest), scan.task.classes)
        )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def data_root(config: DataConfig, cache_dir: Path) -> Path:
    """The folder of the data set; the embedded one is written below `cache_dir` when it is not there yet."""
    if config.name != "phantom":
        assert config.root is not None  # checked in config/checks.py
        return Path(config.root)
    p = config.phantom
    classes = find_data(config).task.classes
    which = "" if classes == LUNG.classes else "".join(f"-{name}" for name in sorted(classes))
    root = cache_dir / f"phantoms-v{VERSION}-{p.patients}x{p.slices}-{p.size}px-seed{p.seed}{which}"
    write_phantoms(root, seed=p.seed, patients=dict.fromkeys(classes, p.patients), slices=p.slices, size=p.size)
    return root


def split_data(config: DataConfig, cache_dir: Path) -> SplitData:
    """Scan, group and split a data set. Raises `FrostlineError` for files, manifests or groups that do not allow it."""
    scan = scan_data(config, cache_dir)
    refuse_unreadable(scan, config.on_unreadable)
    absent = [name for name in scan.task.classes if not any(r.label == name for r in scan.records)]
    if absent:
        raise FrostlineError(f"{scan.root}: of class {', '.join(absent)} no file can be read")
    pairs = find_likeness(scan, cache_dir).pairs(config.similarity)
    groups = group_records(scan.records, pairs)
    labels = [r.label for r in scan.records]
    paths = [r.path for r in scan.records]
    fractions = (config.train_fraction, config.val_fraction, config.test_fraction)
    if config.split == "manifest":
        assert config.manifest is not None  # checked in config/checks.py
        listed = read_manifest(Path(config.manifest), scan.task.classes)
        verify_manifest(Path(config.manifest), listed, scan.root, scan.records)
        split_of = {e.path: e for e in listed}
        examples = tuple(split_of[path] for path in paths if path in split_of)
    else:
        if config.fold is not None and config.split == "grouped":
            splits = splits_of_fold(fold_grouped(labels, groups, config.folds, config.split_seed), config.fold)
        elif config.fold is not None:
            splits = splits_of_fold(fold_random(labels, paths, config.folds, config.split_seed), config.fold)
        elif config.split == "grouped":
            splits = split_grouped(labels, groups, fractions, config.split_seed)
        else:
            splits = split_random(labels, paths, fractions, config.split_seed)
        examples = tuple(
            Example(r.path, r.sha256, r.label, group, split)
            for r, group, split in zip(scan.records, groups, splits, strict=True)
        )
    leaks = count_leaks(paths, pairs.tolist(), examples)
    return SplitData(scan.root, scan.task, examples, scan.unused, leaks)


def count_leaks(paths: Sequence[str], pairs: Sequence[Sequence[int]], examples: Sequence[Example]) -> dict[str, int]:
    """How many val, and how many test images have a near copy in training; `pairs` are indices into `paths`."""
    split = {e.path: e.split for e in examples}
    near: dict[str, set[str]] = {path: set() for path in paths}
    for i, j in pairs:
        near[paths[i]].add(split.get(paths[j], ""))
        near[paths[j]].add(split.get(paths[i], ""))
    return {name: sum(e.split == name and "train" in near[e.path] for e in examples) for name in ("val", "test")}
