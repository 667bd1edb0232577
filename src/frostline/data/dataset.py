"""A data set in its splits: scanned, grouped, drawn; plain values, no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from frostline.config.schema import DataConfig
from frostline.config.tables import read_table
from frostline.data.drawing import draw_splits, units_of
from frostline.data.folders import find_task
from frostline.data.grouping import AlikePair, Grouping, group_scan, name_groups, neighbours_across
from frostline.data.images import Reading
from frostline.data.listed import PathIndex, column_by_path, table_task
from frostline.data.listing import OUTSIDE, FolderTask, is_hidden, list_files
from frostline.data.manifest import Example, read_manifest, verify_manifest
from frostline.data.phantoms.patients import PHANTOM_CLASSES, VERSION, write_phantoms
from frostline.data.ranges import range_remarks
from frostline.data.records import Scan, Unused, file_sha256, refuse_unreadable, scan_folder
from frostline.data.splits import splits_beside_test
from frostline.data.subgroup_columns import Columns, read_columns
from frostline.errors import ConfigError
from frostline.task import LUNG, Task, choose_positive
from frostline.text import NAMES

FEW_GROUPS = 5  # of a class: an interval over fewer says next to nothing


@dataclass(frozen=True)
class SplitData:
    """A data set in its splits, what ties its images together, and what leaks between the splits."""

    root: Path
    task: Task
    examples: tuple[Example, ...]
    unused: tuple[Unused, ...]
    grouping: Grouping | None = field(compare=False)
    """Of all images that were read, in the order of their paths; None where data are made by hand."""
    leaks: dict[str, int]
    """Number of val and of test images that have one of their group (patient, series, copies) in training."""
    test_in_val: int
    """Number of test images that have one of their group in validation."""
    near_copies: dict[str, int]
    """Number of val and of test images that have a copy or near copy in training."""
    across: tuple[AlikePair, ...]
    """Neighbours by number of which one alone is in training, most alike first."""
    alike_from: float
    """Correlation from which neighbours by number count as alike."""
    remarks: tuple[str, ...] = field(default=(), compare=False)
    """What a user has to know of patients and splits, a line each."""

    def of(self, split: str) -> list[Example]:
        """The examples of one split."""
        return [e for e in self.examples if e.split == split]

    @property
    def alike_across(self) -> list[AlikePair]:
        """Those of `across` that are alike: one patient, as far as can be seen."""
        return [a for a in self.across if a.correlation >= self.alike_from]

    def few_groups(self) -> str:
        """A sentence on classes with few groups in validation or test; empty when there are none."""
        few = []
        for split in ("val", "test"):
            count = {name: len({e.group for e in self.of(split) if e.label == name}) for name in self.task.classes}
            low = [f"{n} of {name}" for name, n in count.items() if n < FEW_GROUPS]
            few += [f"{NAMES[split]} has {', '.join(low)}"] if low else []
        if not few:
            return ""
        return (
            f"groups are few: {'; '.join(few)}. Fewer than {FEW_GROUPS} of a class decide nothing: take folds: "
            "frostline study --folds 5, or -m 'data.val_fold=range(5)'"
        )

    @property
    def patients_known(self) -> bool:
        """Whether the patient of every image is known, and not guessed from how images look."""
        return self.grouping is not None and self.grouping.patients.known == len(self.grouping.groups)


def find_data(config: DataConfig) -> FolderTask:
    """Which classes the data set of `config` has, and where; reads no image. Raises `ConfigError` as `find_task`."""
    if config.table is not None:
        table = read_table(Path(config.table), ["path", "class"])
        return table_task(table, _root_of(config).resolve(), config.classes, config.positive)
    if config.name != "phantom":
        return find_task(_root_of(config), config.folders, config.classes, config.positive)
    classes = tuple(config.classes) or LUNG.classes
    for name in classes:
        if name not in PHANTOM_CLASSES:
            raise ConfigError(
                f"data.classes: there are no phantoms of {name!r}; there are {', '.join(PHANTOM_CLASSES)}"
            )
    task = Task(classes, choose_positive(classes, config.positive))
    return FolderTask(task, {name: name for name in classes})


def _root_of(config: DataConfig) -> Path:
    """The folder that a user names: without one, that of the table."""
    assert config.root is not None or config.table is not None  # checked in config/checks.py
    return Path(config.root) if config.root is not None else Path(str(config.table)).parent


def check_data(config: DataConfig) -> Task:
    """The task of a data set. Raises `ConfigError` for folders that are missing or empty, before an image is read."""
    found = find_data(config)
    if config.name != "phantom":
        list_files(_root_of(config).resolve(), found)
    return found.task


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
    lines += [file_sha256(Path(table)) for table in (config.table, config.patients) if table is not None]
    if config.manifest is not None:
        lines += sorted(
            f"{e.path}\0{e.group}\0{e.split}" for e in read_manifest(Path(config.manifest), scan.task.classes)
        )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def data_root(config: DataConfig, cache_dir: Path) -> Path:
    """The folder of the data set; the embedded one is written below `cache_dir` when it is not there yet."""
    if config.name != "phantom":
        return _root_of(config)
    p = config.phantom
    classes = find_data(config).task.classes
    which = "" if classes == LUNG.classes else "".join(f"-{name}" for name in sorted(classes))
    root = cache_dir / f"phantoms-v{VERSION}-{p.patients}x{p.slices}-{p.size}px-seed{p.seed}{which}"
    write_phantoms(root, seed=p.seed, patients=dict.fromkeys(classes, p.patients), slices=p.slices, size=p.size)
    return root


def group_data(scan: Scan, config: DataConfig, cache_dir: Path) -> tuple[Grouping, list[str]]:
    """Group the images of a scan by what `config` says of patients and likeness; with remarks on it, a line each."""
    paths = [r.path for r in scan.records]
    table, together, remarks = None, None, []
    given = config.patients or config.table
    if given is not None:
        rows = read_table(Path(given), ["path"], ["patient"])
        if "patient" not in rows.columns:
            if config.patients:
                read_table(Path(given), ["path", "patient"])  # says which columns would do
            remarks.append(f"{given}: no column of it is called patient (its columns: {', '.join(rows.names)})")
        else:
            known, without = column_by_path(rows, "patient", PathIndex(str(scan.root), paths))
            if rows.columns["patient"].casefold() == "group":
                together = known
                remarks.append(f"{given}: its column {rows.columns['patient']} joins images, but names no patients")
            else:
                table = known
            if without:
                remarks.append(f"{given}: {without} of {len(rows.rows)} rows name no image of the data set")
    grouping = group_scan(
        scan,
        table=table,
        together=together,
        pattern=config.patient_pattern,
        similarity=config.similarity,
        series_similarity=config.series_similarity,
        cache_dir=cache_dir,
    )
    ranges = range_remarks(scan.records, scan.thumbnails, scan.task.classes)
    remarks += idle_folders(scan)
    return grouping, [*remarks, *grouping.patients.remarks, *grouping.neighbours.remarks, *ranges]


def idle_folders(scan: Scan) -> list[str]:
    """A line on folders in the root of which no file is of any class: a copy that failed, perhaps."""
    used = {r.path.split("/")[0] for r in scan.records} | {
        u.path.split("/")[0] for u in scan.unused if u.kind != OUTSIDE
    }
    there = sorted(entry.name for entry in scan.root.iterdir() if entry.is_dir() and not is_hidden(entry.name))
    idle = [name for name in there if name not in used]
    return [f"folders without an image of any class: {', '.join(idle[:10])}"] if idle else []


def split_data(config: DataConfig, cache_dir: Path) -> SplitData:
    """Scan, group and split a data set. Raises `FrostlineError` for files, manifests or groups that do not allow it."""
    scan = scan_data(config, cache_dir)
    refuse_unreadable(scan, config.on_unreadable)
    return split_scan(scan, *group_data(scan, config, cache_dir), config)


def split_scan(scan: Scan, grouping: Grouping, remarks: Sequence[str], config: DataConfig) -> SplitData:
    """Split the images of a scan as `config` says. Raises `FrostlineError` as `split_data`."""
    remarks = list(remarks)
    paths = [r.path for r in scan.records]
    columns = read_columns(config, scan.root, paths)
    if config.split == "manifest":
        examples = _as_manifest(scan, grouping, columns, config)
    else:
        splits, more = draw_splits(scan, grouping, config)
        remarks += more
        examples = tuple(
            Example(r.path, r.sha256, r.label, group, split, by, more)
            for r, group, by, split, more in zip(
                scan.records, grouping.groups, grouping.by, splits, columns, strict=True
            )
        )
    if config.val_fold is not None:
        units = dict(zip(paths, units_of(scan, grouping, config), strict=True))
        if config.split in ("folders", "manifest", "table"):  # these may say groups of their own
            units = {e.path: e.group for e in examples}
        examples = _fold_beside_test(examples, units, config)
    across = neighbours_across(grouping, {e.path: e.split for e in examples})
    listed = {e.path for e in examples}
    unlisted = tuple(Unused(p, "left out", "not in data.manifest", "") for p in paths if p not in listed)
    group_of = dict(zip(paths, grouping.groups, strict=True))
    copies_of = dict(zip(paths, name_groups(scan.records, grouping.links["copies"]), strict=True))
    return SplitData(
        scan.root,
        scan.task,
        examples,
        scan.unused + unlisted,
        grouping,
        leaks=count_leaks(group_of, examples),
        test_in_val=count_leaks(group_of, examples, "val")["test"],
        near_copies=count_leaks(copies_of, examples),
        across=tuple(across),
        alike_from=config.series_similarity or DataConfig().series_similarity or 1.0,
        remarks=tuple(remarks),
    )


def _fold_beside_test(
    examples: tuple[Example, ...], units: Mapping[str, str], config: DataConfig
) -> tuple[Example, ...]:
    """The examples with `data.val_fold` of those outside of the test set as validation; `units` stay together."""
    assert config.val_fold is not None
    labels, splits = [e.label for e in examples], [e.split for e in examples]
    drawn = splits_beside_test(
        splits, labels, [units[e.path] for e in examples], config.folds, config.val_fold, config.split_seed
    )
    return tuple(replace(e, split=split) for e, split in zip(examples, drawn, strict=True))


def _as_manifest(scan: Scan, grouping: Grouping, columns: Sequence[Columns], config: DataConfig) -> tuple[Example, ...]:
    file = Path(str(config.manifest))
    listed = read_manifest(file, scan.task.classes)
    verify_manifest(file, listed, scan.root, scan.records)
    of_path = {e.path: e for e in listed}
    return tuple(
        replace(
            e,
            sha256=e.sha256 or record.sha256,
            group=e.group or group,
            grouped_by=e.grouped_by or ("manifest" if e.group else by),
            columns=more,
        )
        for record, group, by, more in zip(scan.records, grouping.groups, grouping.by, columns, strict=True)
        if (e := of_path.get(record.path)) is not None
    )


def count_leaks(groups: Mapping[str, str], examples: Sequence[Example], part: str = "train") -> dict[str, int]:
    """How many val, and how many test images have another one of their group (by path) in `part`."""
    there = {groups[e.path] for e in examples if e.split == part}
    return {name: sum(e.split == name and groups[e.path] in there for e in examples) for name in ("val", "test")}
