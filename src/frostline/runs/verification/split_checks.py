"""Whether a split is one: every image once, none on two sides, drawn again the same, and what leaks across."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from frostline.config.compose import read_config
from frostline.config.schema import DataConfig
from frostline.data.dataset import group_data, scan_data, split_scan
from frostline.data.grouping import Grouping, blank, name_groups
from frostline.data.manifest import Example
from frostline.data.patients import SOURCES
from frostline.data.records import Scan, file_sha256
from frostline.errors import FrostlineError, first_line
from frostline.runs.verification.check import Check, Finding
from frostline.runs.verification.recorded import Recorded
from frostline.text import NAMES

LET_ACROSS = ("random", "copies", "folders", "table", "manifest")  # splits that do not promise to keep groups together


@dataclass(frozen=True)
class PresentData:
    """The data set of a run as it is now."""

    config: DataConfig
    scan: Scan
    grouping: Grouping
    remarks: tuple[str, ...]


def find_present(recorded: Recorded, root: Path | None, cache_dir: Path) -> PresentData | str:
    """Read the data set of a run where it was, or at `root`; why not, where it cannot be read."""
    if recorded.options is None:
        return "config.yaml cannot be read"
    try:
        config = read_config(recorded.folder.path, root).data
        scan = scan_data(config, cache_dir)
        grouping, remarks = group_data(scan, config, cache_dir)
    except (FrostlineError, OSError) as error:
        return first_line(error)
    return PresentData(config, scan, grouping, tuple(remarks))


def check_files(recorded: Recorded, present: PresentData | str) -> Check:
    """The files of the data set against the manifest: there, unchanged, of the same class, none more."""
    says = "the images against manifest.csv, by checksum and folder"
    if recorded.examples is None:
        return Check("files", says, done=False)
    if isinstance(present, str):
        gone = f"the data set ({present}): whether its files are those of manifest.csv; --root DIR says where it is"
        return Check("files", says, unseen=(gone,), done=False)
    scan, listed = present.scan, {e.path for e in recorded.examples}
    known = {r.path: r for r in scan.records}
    found: dict[str, list[str]] = defaultdict(list)
    for e in recorded.examples:
        record, file = known.get(e.path), scan.root / e.path
        if record is None and not file.is_file():
            found["missing"].append(e.path)
        elif e.sha256 and (record.sha256 if record else file_sha256(file)) != e.sha256:
            found["changed since, another checksum"].append(e.path)
        elif record is None:
            found["no image of the data set any more"].append(e.path)
        elif record.label != e.label:
            found[f"{e.label} in manifest.csv, in a folder of {record.label}"].append(e.path)
    found["added since"] = [p for p in known if p not in listed and p not in (recorded.unused or ())]
    differs = tuple(Finding(f"{len(paths)} {what}", tuple(paths)) for what, paths in found.items() if paths)
    no_sum = sum(not e.sha256 for e in recorded.examples)
    unseen = (f"whether {no_sum} images are the same: manifest.csv has no checksum of them",) if no_sum else ()
    n = len(recorded.examples)
    return Check("files", f"{says}: {n} listed, {len(known)} in the data set", differs, unseen)


def check_split(recorded: Recorded, present: PresentData | str) -> Check:
    """The manifest by itself: a partition, and where the split is by group no checksum or group on two sides.

    Blank slices may be equal and of nobody: they count only where the data set is not there to tell them.
    """
    says = "every image on one side, no checksum and no group on two"
    if recorded.examples is None:
        return Check("split", says, unseen=("the split: manifest.csv cannot be read",), done=False)
    examples, split = recorded.examples, recorded.option("data.split")
    sides = ", ".join(f"{sum(e.split == s for e in examples)} {NAMES[s]}" for s in NAMES)
    blanks: set[str] = set()
    if not isinstance(present, str):
        blanks = {p for p, b in zip(present.grouping.paths, blank(present.scan.thumbnails), strict=True) if b}
    copies = _two_sided({e.path: "" if e.path in blanks else e.sha256 for e in examples}, examples)
    groups = _two_sided({e.path: e.group for e in examples}, examples)
    found = [
        Finding(f"{len(paths)} images have {what} on another side too", tuple(paths))
        for what, paths in (("their checksum", copies), ("their group", groups))
        if paths
    ]
    unseen = list(_unknown_patients(examples))
    if split is None:
        unseen.append("whether the split was to keep groups together: config.yaml cannot be read")
    if split in LET_ACROSS:
        tied = "; ".join(str(finding) for finding in found) or "none does"
        return Check(
            "split", f"{sides}; data.split={split} lets groups stand on two sides: {tied}", unseen=tuple(unseen)
        )
    return Check("split", f"{says} ({sides})", tuple(found), tuple(unseen))


def check_drawn(recorded: Recorded, present: PresentData | str, files: Check) -> Check:
    """The split drawn anew from config.yaml, against the manifest."""
    says = f"data.split={recorded.option('data.split')} data.split_seed={recorded.option('data.split_seed')}"
    says += " gives manifest.csv again"
    if recorded.examples is None or isinstance(present, str) or files.differs:
        why = (
            "the files are not those of manifest.csv" if files.differs else "the data set or manifest.csv is not there"
        )
        return Check("drawn again", says, unseen=(f"whether the split can be drawn again: {why}",), done=False)
    try:
        drawn = split_scan(present.scan, present.grouping, present.remarks, present.config).examples
    except FrostlineError as error:
        return Check("drawn again", says, (Finding(f"no split can be drawn: {first_line(error)}"),))
    now, then = {e.path: e for e in drawn}, {e.path: e for e in recorded.examples}
    differs = []
    for what in ("split", "group", "grouped_by", "label"):
        paths = [p for p in then if p in now and getattr(now[p], what) != getattr(then[p], what)]
        if paths:
            first = f"{getattr(then[paths[0]], what)} in manifest.csv, {getattr(now[paths[0]], what)} drawn again"
            name = {"label": "class"}.get(what, what)
            differs.append(Finding(f"{name} of {len(paths)} images (the first: {first})", tuple(paths)))
    for what, paths in (
        ("in manifest.csv alone", [p for p in then if p not in now]),
        ("not in manifest.csv", [p for p in now if p not in then]),
    ):
        if paths:
            differs.append(Finding(f"{len(paths)} images are {what}", tuple(paths)))
    return Check("drawn again", says, tuple(differs))


def check_leaks(recorded: Recorded, present: PresentData | str, files: Check) -> Check:
    """Groups and near copies looked for anew in the images: what of validation and test stands in training too.

    What metrics.json says of them is compared where the files are those of the manifest.
    """
    says = "groups and near copies looked for anew between training and the other sides"
    if recorded.examples is None or isinstance(present, str):
        unseen = "near copies across the split, and groups other than those of manifest.csv: the data set is not there"
        return Check("leaks", says, unseen=(unseen,), done=False)
    scan, grouping = present.scan, present.grouping
    group_of = dict(zip(grouping.paths, grouping.groups, strict=True))
    examples = [e for e in recorded.examples if e.path in group_of]
    copies_of = dict(zip(grouping.paths, name_groups(scan.records, grouping.links["copies"]), strict=True))
    across, differs, counts = recorded.option("data.split") in LET_ACROSS, [], []
    for part in ("val", "test"):
        for key, what, named in (
            ("groups_in_train", "one of their group", group_of),
            ("near_copies_in_train", "a copy or near copy", copies_of),
        ):
            paths = _leaking(named, examples, part)
            of = f"of {sum(e.split == part for e in examples)} {NAMES[part]} images have {what} in training"
            counts.append(f"{len(paths)} {of}")
            written = None if files.differs else (recorded.metrics or {}).get(f"{part}/{key}")
            if paths and not across:
                differs.append(Finding(counts[-1], tuple(paths)))
            if written is not None and written != len(paths):
                differs.append(Finding(f"{part}/{key}: {written} in metrics.json, {len(paths)} found"))
    shown = f"; data.split={recorded.option('data.split')}: {', '.join(counts)}" if across else ""
    unseen = "near copies that are less alike than data.similarity, and slices of one patient that look different"
    return Check("leaks", says + shown, tuple(differs), (unseen,) if _unknown_patients(examples) else ())


def _leaking(groups: Mapping[str, str], examples: Sequence[Example], part: str) -> list[str]:
    there = {groups[e.path] for e in examples if e.split == "train"}
    return [e.path for e in examples if e.split == part and groups[e.path] in there]


def _two_sided(names: Mapping[str, str], examples: Sequence[Example]) -> list[str]:
    """Paths whose name, such as a checksum, stands in another split too; an empty name is none."""
    sides: dict[str, set[str]] = defaultdict(set)
    for e in examples:
        sides[names[e.path]].add(e.split)
    return [e.path for e in examples if names[e.path] and len(sides[names[e.path]]) > 1]


def _unknown_patients(examples: Sequence[Example]) -> tuple[str, ...]:
    unknown = sum(not set(e.grouped_by.split("+")) & set(SOURCES) for e in examples)
    if not unknown:
        return ()
    return (
        f"slices of one patient on two sides: the patient of {unknown} of {len(examples)} images is not known, "
        "groups are guessed from names and likeness",
    )
