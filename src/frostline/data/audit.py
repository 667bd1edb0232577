"""What a data set holds and what could go wrong with it, before anything is trained."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from frostline.config.schema import DataConfig
from frostline.data.dataset import SplitData, scan_data, split_data
from frostline.data.grouping import find_near_pairs, group_records
from frostline.data.records import Scan, refuse_unreadable
from frostline.data.splits import SPLITS
from frostline.errors import FrostlineError
from frostline.text import percent


@dataclass(frozen=True)
class Audit:
    """A scan with its near copies and groups, and the split that the config would draw."""

    scan: Scan
    groups: list[str]
    near_copies: int
    """Number of images with at least one near copy."""
    conflicts: list[tuple[str, str]]
    """Near copies with different classes."""
    split: SplitData | None
    random_leaks: int
    """Test images with a near copy in training if the split were drawn by image."""
    refusal: str = ""
    """Why there is no `split`: what training on this data set would say."""


def audit_data(config: DataConfig, cache_dir: Path) -> Audit:
    """Look at the data set of `config`; files that cannot be read are counted, not refused, unless they are all."""
    scan = scan_data(config, cache_dir)
    if not scan.records:
        refuse_unreadable(scan, "stop")
    lenient = replace(config, on_unreadable="skip")
    pairs = find_near_pairs(scan, config.similarity, (config.window_center, config.window_width), cache_dir).tolist()
    records = scan.records
    random = replace(lenient, split="random", manifest=None)
    split, random_leaks, refusal = None, 0, ""
    try:
        split = split_data(lenient, cache_dir)
        random_leaks = split_data(random, cache_dir).leaks["test"]
    except FrostlineError as error:
        if config.split == "manifest":
            raise
        refusal = str(error)
    return Audit(
        scan=scan,
        groups=group_records(records, pairs),
        near_copies=len({i for pair in pairs for i in pair}),
        conflicts=[(records[i].path, records[j].path) for i, j in pairs if records[i].label != records[j].label],
        split=split,
        random_leaks=random_leaks,
        refusal=refusal,
    )


def audit_text(audit: Audit, config: DataConfig, names: bool = True) -> str:
    """The audit in lines for a person; without `names` no file or folder is named."""
    records, n = audit.scan.records, len(audit.scan.records)
    lines = [f"{audit.scan.root}", ""] if names else []
    count = Counter(r.label for r in records)
    lines.append(
        f"images      {n}: "
        + ", ".join(f"{count[name]} {name} ({percent(count[name] / n)})" for name in audit.scan.task.classes)
    )
    lines += _sizes(audit)
    lines.append(f"unreadable  {len(audit.scan.unreadable)}" + ("" if audit.scan.unreadable else " files"))
    lines += [f"              {u.path}: {u.reason}" for u in audit.scan.unreadable[:10] if names]
    if names and len(audit.scan.unreadable) > 10:
        lines.append(f"              and {len(audit.scan.unreadable) - 10} more")
    copies = n - len({r.sha256 for r in records})
    lines.append(f"copies      {copies} files are byte for byte the same as another")
    lines.append(
        f"near copies {audit.near_copies} images ({percent(audit.near_copies / n)}) have another one above "
        f"{config.similarity:g} (data.similarity, correlation of 64x64 thumbnails)"
    )
    if names:
        lines += [f"              of different classes: {a} and {b}" for a, b in audit.conflicts[:5]]
    if len(audit.conflicts) > (5 if names else 0):
        more = (
            f"and {len(audit.conflicts) - 5} more such pairs"
            if names
            else f"{len(audit.conflicts)} pairs are of different classes"
        )
        lines.append(f"              {more}")
    patients = len({r.patient for r in records if r.patient})
    known = f"{patients} patients by data.patient_pattern" if patients else "patients not known (data.patient_pattern)"
    sizes = Counter(audit.groups).values()
    lines.append(f"groups      {len(sizes)}, the largest of {max(sizes)} images; {known}")
    lines += ["", f"proposed split (data.split={config.split}, data.split_seed={config.split_seed}):"]
    if audit.split is None:
        return "\n".join([*lines, f"  none: {audit.refusal}"])
    for split in SPLITS:
        of = audit.split.of(split)
        by = Counter(e.label for e in of)
        classes = ", ".join(f"{by[name]} {name}" for name in audit.scan.task.classes)
        lines.append(f"  {split:<6} {len(of):>5} images in {len({e.group for e in of})} groups: {classes}")
    tests = len(audit.split.of("test"))
    lines.append(f"  test images with a near copy in training: {audit.split.leaks['test']} of {tests}")
    if not patients:
        lines.append("  patients with images on both sides: cannot be seen, for no patient is known")
    if config.split != "random":
        lines.append(f"  drawn by image (data.split=random) it would be {audit.random_leaks}")
    return "\n".join(lines)


def _sizes(audit: Audit) -> list[str]:
    """Sizes and, where a size occurs in one class only, the shortcut that this is."""
    count = Counter((r.width, r.height) for r in audit.scan.records)
    common = ", ".join(f"{w}x{h} ({c})" for (w, h), c in count.most_common(6))
    lines = [f"sizes       {common}{' and others' if len(count) > 6 else ''}"]
    for size, c in count.most_common():
        labels = {r.label for r in audit.scan.records if (r.width, r.height) == size}
        if len(labels) == 1 and len(count) > 1 and c >= 5:
            name = labels.pop()
            lines.append(
                f"              all {c} of {size[0]}x{size[1]} are {name}: a shortcut that a network can learn"
            )
    return lines
