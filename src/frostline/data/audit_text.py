"""The audit of a data set in lines for a person."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from frostline.config.schema import DataConfig
from frostline.data.audit import Audit, GroupsAt
from frostline.data.dataset import SplitData
from frostline.data.grouping import METHODS
from frostline.data.links import components
from frostline.data.patients import count_by_source
from frostline.data.records import Unused
from frostline.data.splits import SPLITS
from frostline.text import percent

_INDENT = " " * 14
_SHOWN = 5
_KINDS = 10
_MANY = 50  # images from which a large group is a sign
_CHAINED = 0.2  # share of all images in one group from which near copies have chained strangers together


def audit_text(audit: Audit, config: DataConfig, names: bool = True) -> str:
    """The audit in lines for a person; without `names` no file or folder is named."""
    text = "\n".join(
        [
            *([f"{audit.scan.root}", ""] if names else []),
            *_images(audit),
            *_unused(audit, config, names),
            *_copies(audit, config, names),
            *_patients(audit, config, names),
            *_groups(audit, config, names),
            *_thresholds(audit),
            *_split(audit, config, names),
            *_blind(audit),
        ]
    )
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)  # names may hold codes


def _images(audit: Audit) -> list[str]:
    records, n = audit.scan.records, len(audit.scan.records)
    count = Counter(r.label for r in records)
    classes = ", ".join(f"{count[name]} {name} ({percent(count[name] / n)})" for name in audit.scan.task.classes)
    kinds = Counter(r.facts.kind for r in records)
    return [
        f"images      {n}: {classes}",
        f"kinds       {', '.join(f'{kind} ({c})' for kind, c in kinds.most_common(6))}",
        *_sizes(audit),
    ]


def _sizes(audit: Audit) -> list[str]:
    """Sizes and, where a size occurs in one class only, the shortcut that this is."""
    count = Counter((r.width, r.height) for r in audit.scan.records)
    common = ", ".join(f"{w}x{h} ({c})" for (w, h), c in count.most_common(6))
    lines = [f"sizes       {common}{' and others' if len(count) > 6 else ''}"]
    of_size: dict[tuple[int, int], set[str]] = defaultdict(set)
    for r in audit.scan.records:
        of_size[r.width, r.height].add(r.label)
    for size, c in count.most_common():
        labels = of_size[size]
        if len(labels) == 1 and len(count) > 1 and c >= 5:
            line = f"all {c} of {size[0]}x{size[1]} are {min(labels)}: a shortcut that a network can learn"
            lines.append(f"{_INDENT}{line}")
    return lines


def _unused(audit: Audit, config: DataConfig, names: bool) -> list[str]:
    lines = []
    for status, label in (("no image", "no images"), ("left out", "left out"), ("unreadable", "unreadable")):
        files = audit.scan.with_status(status)
        stops = "; a run stops on them (data.on_unreadable=stop)" if status == "unreadable" and files else ""
        stops = stops if config.on_unreadable == "stop" else ""
        lines.append(f"{label:<12}{len(files)} file{'' if len(files) == 1 else 's'}{stops}")
        kinds: dict[str, list[Unused]] = defaultdict(list)
        for file in files:
            kinds[file.kind or file.path].append(file)  # of unreadable ones each is a kind of its own
        largest = sorted(kinds.items(), key=lambda item: -len(item[1]))
        for kind, of in largest[:_KINDS]:
            reason = of[0].reason.removeprefix(f"{kind}: ")
            if status == "unreadable":
                lines += [f"{_INDENT}{kind}: {reason}"] if names else []
                continue
            why = f": {reason}" if reason else ""
            example = f", such as {of[0].path}" if names else ""
            lines.append(f"{_INDENT}{len(of)} {kind}{why}{example}")
        if len(largest) > _KINDS and (names or status != "unreadable"):
            lines.append(f"{_INDENT}and {sum(len(of) for _, of in largest[_KINDS:])} more")
    return lines


def _copies(audit: Audit, config: DataConfig, names: bool) -> list[str]:
    records, n = audit.scan.records, len(audit.scan.records)
    copies = n - len({r.sha256 for r in records})
    lines = [f"copies      {copies} files are byte for byte the same as another"]
    lines += _some([f"of two patients: {a} and {b}" for a, b in audit.renamed], names, "pairs are of two patients")
    lines.append(
        f"near copies {audit.near_copies} images ({percent(audit.near_copies / n)}) correlate with another one by "
        f"{config.similarity:g} (data.similarity) or more, or are another one changed"
    )
    conflicts = [
        f"of different classes: {c.first} and {c.second}" + (f" ({c.correlation:.2f})" if c.correlation < 1 else "")
        for c in audit.conflicts
    ]
    return lines + _some(conflicts, names, "pairs are of different classes")


def _some(lines: Sequence[str], names: bool, counted: str) -> list[str]:
    """The first few lines and how many more there are; without `names` their number alone."""
    if not names:
        return [f"{_INDENT}{len(lines)} {counted}"] if lines else []
    more = [f"{_INDENT}and {len(lines) - _SHOWN} more such pairs"] if len(lines) > _SHOWN else []
    return [*(f"{_INDENT}{line}" for line in lines[:_SHOWN]), *more]


def _patients(audit: Audit, config: DataConfig, names: bool) -> list[str]:
    patients = audit.grouping.patients
    images = Counter(patients.sources)
    sources = ", ".join(
        f"{n} by {METHODS[s].split(' of ', 1)[1]} ({images[s]} images)" for s, n in count_by_source(patients).items()
    )
    known = sources or "not known: no data.patients, no data.patient_pattern, no PatientID in a DICOM header"
    lines = [f"patients    {known}"]
    lines += [f"{_INDENT}{remark}" for remark in audit.remarks if names]
    n = audit.grouping.neighbours
    apart = len(audit.scan.records) - len(np.unique(n.pairs))
    if apart and patients.known < len(audit.scan.records):
        lines.append(f"{_INDENT}{apart} images have no neighbour by number: of these a series cannot be seen")
    if len(n.pairs) and patients.known < len(audit.scan.records):
        joined = len(audit.grouping.links["series"])
        at = "series are not used" if config.series_similarity is None else f"{joined} at {config.series_similarity:g}"
        lines.append(
            f"series      {len(n.pairs)} files have a neighbour by number; joined: {at} or more alike "
            "(data.series_similarity)"
        )
    return lines


def _groups(audit: Audit, config: DataConfig, names: bool) -> list[str]:
    sizes = Counter(audit.grouping.groups)
    largest, n = max(sizes.values()), len(audit.scan.records)
    by_class = _groups_by_class(audit)
    classes = ", ".join(f"{by_class[name]} {name}" for name in audit.scan.task.classes)
    several = sum(by_class.values()) - len(sizes)
    also = f" ({several} counted in two classes, for it holds both)" if several == 1 else ""
    also = f" ({several} more than all: some hold two classes)" if several > 1 else also
    lines = [f"groups      {len(sizes)}: {classes}{also}; the largest of {largest} images ({percent(largest / n)})"]
    if documented := config.documented_patients:
        said = ", ".join(f"{documented.get(name, '?')} {name}" for name in audit.scan.task.classes)
        lines.append(
            f"{_INDENT}the publishers document {said} patients in the whole set: the groups are a guess at them"
        )
    known = [pairs for method, pairs in audit.grouping.links.items() if method not in ("series", "copies")]
    by_name = int(np.bincount(components(n, np.concatenate(known))).max())
    if n >= _MANY and largest > _CHAINED * n:
        why = (
            "one name of a patient stands for so many: does the pattern or table say patients?"
            if by_name > 0.8 * largest
            else "likeness has chained strangers together; raise data.similarity or data.series_similarity"
        )
        lines.append(f"{_INDENT}one group holds {percent(largest / n)} of the images: {why}")
    for name, written in config.documented_patients.items():
        if audit.grouping.patients.known == n and (more := _patients_of(audit, name)) > written:
            lines.append(f"{_INDENT}{more} patients of {name} are more than the {written} that are documented")
    patients = len({name for name in audit.grouping.patients.names if name is not None})
    if audit.grouping.patients.known == n and len(sizes) < patients:
        lines.append(
            f"{_INDENT}near copies join {patients} patients to {len(sizes)} groups: where that is by chance, raise "
            "data.similarity"
        )
        pairs = [f"{a} and {b} ({c:.2f})" for a, b, c in audit.joined]
        lines += _some(pairs, names, "pairs of two patients are near copies")
    methods = Counter(audit.grouping.by)
    lines.append(f"{_INDENT}images by what ties them: {', '.join(f'{c} {m}' for m, c in methods.most_common(8))}")
    return lines


def _patients_of(audit: Audit, label: str) -> int:
    names = zip(audit.scan.records, audit.grouping.patients.names, strict=True)
    return len({name for record, name in names if record.label == label and name is not None})


def _groups_by_class(audit: Audit) -> dict[str, int]:
    labels: dict[str, set[str]] = defaultdict(set)
    for record, group in zip(audit.scan.records, audit.grouping.groups, strict=True):
        labels[record.label].add(group)
    return {name: len(labels[name]) for name in audit.scan.task.classes}


def _thresholds(audit: Audit) -> list[str]:
    lines = ["", "how sure the groups are: groups, and images in the largest, at other thresholds"]
    lines += _table("data.similarity", audit.by_similarity)
    lines += _table("data.series_similarity", audit.by_series)
    return lines


def _table(option: str, rows: Sequence[GroupsAt]) -> list[str]:
    if not rows:
        return []
    return [
        f"  {option:<23}" + "".join(f"{row.similarity:>7g}" for row in rows),
        f"  {'groups':<23}" + "".join(f"{row.groups:>7}" for row in rows),
        f"  {'largest':<23}" + "".join(f"{row.largest:>7}" for row in rows),
    ]


def _split(audit: Audit, config: DataConfig, names: bool) -> list[str]:
    word = "proposed split" if config.split in ("grouped", "copies", "random") else "split"
    lines = ["", f"{word} (data.split={config.split}, data.split_seed={config.split_seed}):"]
    split, classes = audit.split, audit.scan.task.classes
    if split is None:
        return [*lines, f"  none: {audit.refusal}"]
    patient = dict(zip(audit.grouping.paths, audit.grouping.patients.names, strict=True))
    for part in SPLITS:
        of = split.of(part)
        by = Counter(e.label for e in of)
        unit = {e.path: patient.get(e.path) if split.patients_known else e.group for e in of}
        units = {name: len({unit[e.path] for e in of if e.label == name}) for name in classes}
        shown = ", ".join(f"{by[name]} {name} of {units[name]}" for name in classes)
        groups = f"{len({e.group for e in of})} groups"
        groups += f", {len(set(unit.values()))} patients" if split.patients_known else ""
        lines.append(f"  {part:<6} {len(of):>5} images in {groups}: {shown}")
    lines += [f"  {line}" for line in [split.few_groups()] if line]
    tests = len(split.of("test"))
    what = "their patient" if split.patients_known else "one of their group"
    lines.append(f"  test images with {what} in training: {split.leaks['test']} of {tests}; "
                 f"with a near copy: {split.near_copies['test']}")  # fmt: skip
    if config.split != "random":
        lines.append(
            f"  were it drawn by image (data.split=random): {audit.random_leaks[0]} of {audit.random_leaks[1]}"
        )
    if split.leaks["val"] or split.test_in_val:
        lines.append(
            f"  validation images with {what} in training: {split.leaks['val']} of {len(split.of('val'))}; test images "
            f"with {what} in validation: {split.test_in_val}"
        )
    if (split.leaks["test"] or split.leaks["val"]) and config.split in ("folders", "table", "manifest"):
        lines.append("  data.split=grouped draws a split anew that keeps groups together")
    if len(audit.grouping.neighbours.pairs):
        lines += _across(split, names)
    return lines


def _across(split: SplitData, names: bool) -> list[str]:
    lines = [
        f"  neighbours by number, one of them in training: {len(split.across)}, {len(split.alike_across)} at "
        f"{split.alike_from:g} or more alike"
    ]
    if names:
        lines += [f"    {a.first} and {a.second} ({a.correlation:.2f})" for a in split.across[:_SHOWN]]
        if len(split.across) > _SHOWN:
            lines.append(f"    and {len(split.across) - _SHOWN} more, less alike")
    return lines


def _blind(audit: Audit) -> list[str]:
    """What this check cannot see."""
    n, known = len(audit.scan.records), audit.grouping.patients.known
    lines = []
    if known < n:
        of = "no image" if not known else f"{known} of {n} images"
        lines.append(
            f"the patient is known of {of}: two slices of one patient that are not alike, or not numbered in a row, "
            "cannot be seen to belong together. The result then holds for new slices of such patients, not for new ones"
        )
    lines.append("turns, shifts and zooms beyond docs/near_copies.md, crops, and one patient under two names")
    return ["", "what this cannot see:", *(f"  {line}" for line in lines)]
