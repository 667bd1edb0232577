"""A split for every image, as `data.split` says: drawn by group or by image, or as folders or a table publish it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from frostline.config.schema import DataConfig
from frostline.config.tables import read_table
from frostline.data.grouping import Grouping, name_groups
from frostline.data.listed import PathIndex, column_by_path
from frostline.data.listing import published_part, published_split
from frostline.data.records import Scan
from frostline.data.splits import fold_grouped, fold_random, split_grouped, split_in_two, split_random, splits_of_fold
from frostline.errors import FrostlineError


def draw_splits(scan: Scan, grouping: Grouping, config: DataConfig) -> tuple[list[str], list[str]]:
    """A split for every record, and remarks."""
    labels = [r.label for r in scan.records]
    paths = [r.path for r in scan.records]
    groups = units_of(scan, grouping, config)
    fractions = (config.train_fraction, config.val_fraction, config.test_fraction)
    if config.split in ("folders", "table"):
        return published_parts(scan, grouping, config)
    parts = {part for path in paths if (part := published_part(path)) is not None}
    remarks = []
    if len({split for _, split in parts}) > 1:
        names = ", ".join(sorted({folder for folder, _ in parts}))
        remarks.append(f"published parts ({names}) are not kept but drawn anew; data.split=folders keeps them")
    if config.fold is not None and config.split == "random":
        return splits_of_fold(fold_random(labels, paths, config.folds, config.split_seed), config.fold), remarks
    if config.fold is not None:
        return splits_of_fold(fold_grouped(labels, groups, config.folds, config.split_seed), config.fold), remarks
    if config.split != "random":
        return split_grouped(labels, groups, fractions, config.split_seed), remarks
    return split_random(labels, paths, fractions, config.split_seed), remarks


def units_of(scan: Scan, grouping: Grouping, config: DataConfig) -> Sequence[str]:
    """What `data.split` keeps together, a name for every record: images, near copies, or groups."""
    if config.split == "random":
        return grouping.paths
    if config.split == "copies":
        return name_groups(scan.records, grouping.links["copies"])
    return grouping.groups


def published_parts(scan: Scan, grouping: Grouping, config: DataConfig) -> tuple[list[str], list[str]]:
    """The splits that folders or a table say; validation is drawn by group from training where they have none.

    Raises `FrostlineError` where an image has no split, or training or test have no image.
    """
    remarks: list[str] = []
    said: dict[str, str | None] = {r.path: published_split(r.path) for r in scan.records}
    if config.split == "table":
        table = read_table(Path(str(config.table)), ["path", "split"])
        others = [name for name in table.names if "split" in name.casefold() and name != table.columns["split"]]
        if others:
            remarks.append(
                f"{config.table}: split by column {table.columns['split']}; there is {', '.join(others)} too"
            )
        found, _ = column_by_path(table, "split", PathIndex(str(scan.root), list(said)))
        said = {path: published_split(f"{found.get(path, '')}/x") for path in said}
    lost = [path for path, split in said.items() if split is None]
    if lost:
        raise FrostlineError(
            f"data.split={config.split}: {len(lost)} of {len(said)} images stand in no part that is called train, val "
            f"or test, such as {lost[0]}; data.split=grouped draws a split"
        )
    splits = [str(split) for split in said.values()]
    absent = [part for part in ("train", "test") if part not in splits]
    if absent:
        raise FrostlineError(
            f"data.split={config.split}: there is no part for {' and '.join(absent)}; data.split=grouped draws a split"
        )
    for part in sorted(set(splits)):
        held = {r.label for r, split in zip(scan.records, splits, strict=True) if split == part}
        without = [name for name in scan.task.classes if name not in held]
        if without:
            raise FrostlineError(
                f"data.split={config.split}: {part} has no image of {', '.join(without)}; data.split=grouped draws "
                "a split"
            )
    if "val" in splits:
        return splits, remarks
    inside = [i for i, split in enumerate(splits) if split == "train"]
    of_train = config.val_fraction / (config.train_fraction + config.val_fraction)
    parts = split_in_two(
        [scan.records[i].label for i in inside], [grouping.groups[i] for i in inside], of_train, config.split_seed
    )
    for i, is_val in zip(inside, parts, strict=True):
        splits[i] = "val" if is_val else "train"
    return splits, [
        *remarks,
        f"no part for validation is published: {sum(parts)} images of training are drawn for it, by group",
    ]
