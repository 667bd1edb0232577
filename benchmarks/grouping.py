"""How well groups are patients: on phantoms, whose patients are known, and on a folder of real slices.

python benchmarks/grouping.py            # precision and recall of pairs on numbered phantoms, a table
python benchmarks/grouping.py DIR        # groups by method on IQ-OTH/NCCD in DIR, and neighbours on both sides
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from frostline.config.compose import compose_config
from frostline.config.schema import DataConfig
from frostline.data.dataset import group_data, scan_data, split_data
from frostline.data.phantoms.numbered import write_numbered
from frostline.installation import versions

METHODS = {
    "near copies 0.85": {"series_similarity": None},
    "series 0.35": {"similarity": 1.0},
    "series 0.35 and near copies 0.85": {},
    "series 0.5 and near copies 0.85": {"series_similarity": 0.5},
    "series 0.6 and near copies 0.85": {"series_similarity": 0.6},
}
PATIENTS = {"benign": 15, "malignant": 40, "normal": 55}  # as the publishers of IQ-OTH/NCCD document


def pairs_right(groups: Sequence[str], patients: Sequence[str]) -> tuple[float, float]:
    """Share of the pairs in one group that are one patient (precision), and of one patient's in one group (recall)."""

    def pairs(counts: Counter[object]) -> int:
        return sum(n * (n - 1) // 2 for n in counts.values())

    both = pairs(Counter(zip(groups, patients, strict=True)))
    return both / max(1, pairs(Counter(groups))), both / max(1, pairs(Counter(patients)))


def on_phantoms(seeds: int) -> Iterator[str]:
    """Lines of a table of precision and recall, means over data sets."""
    yield "| method | groups (110 patients) | precision | recall | largest group |"
    yield "|---|---|---|---|---|"
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in METHODS}
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "slices"
            truth = dict(write_numbered(root, seed, PATIENTS, size=128, shared=2))
            config = compose_config(["data=folder", f"data.root={root}"]).data
            scan = scan_data(config, Path(folder) / "cache")
            for name, changes in METHODS.items():
                grouping, _ = group_data(scan, replace(config, **changes), Path(folder) / "cache")
                precision, recall = pairs_right(grouping.groups, [truth[r.path] for r in scan.records])
                sizes = Counter(grouping.groups)
                found[name].append((len(sizes), precision, recall, max(sizes.values()) / len(scan.records)))
        print(f"data set {seed + 1} of {seeds}", file=sys.stderr)
    for name, rows in found.items():
        groups, precision, recall, largest = np.mean(rows, axis=0)
        low, high = np.min(rows, axis=0)[1:3], np.max(rows, axis=0)[1:3]
        yield (
            f"| {name} | {groups:.0f} | {precision:.2f} ({low[0]:.2f} to {high[0]:.2f}) | "
            f"{recall:.2f} ({low[1]:.2f} to {high[1]:.2f}) | {largest:.0%} |"
        )


def on_real(root: str) -> Iterator[str]:
    """Lines of a table of groups by method, and of neighbours by number on both sides of training."""
    usual = compose_config(["data=iqothnccd", f"data.root='{root}'"]).data
    cache = Path(tempfile.mkdtemp())
    scan = scan_data(usual, cache)
    yield (
        f"| method ({len(scan.records)} images) | groups: benign, malignant, normal | largest | "
        "test images with a neighbour by number in training, split seeds 0, 1, 2 | of these 0.35 alike or more |"
    )
    yield "|---|---|---|---|---|"
    for name, changes in METHODS.items():
        config = replace(usual, **changes)
        grouping, _ = group_data(scan, config, cache)
        classes = {label: set() for label in scan.task.classes}
        for record, group in zip(scan.records, grouping.groups, strict=True):
            classes[record.label].add(group)
        counts = ", ".join(str(len(groups)) for groups in classes.values())
        across, alike = zip(
            *(_on_both_sides(replace(config, split_seed=seed), cache) for seed in range(3)), strict=True
        )
        largest = max(Counter(grouping.groups).values())
        yield (
            f"| {name} | {len(set(grouping.groups))}: {counts} | {largest} | "
            f"{', '.join(map(str, across))} | {', '.join(map(str, alike))} |"
        )


def _on_both_sides(config: DataConfig, cache: Path) -> tuple[str, str]:
    split = split_data(config, cache)
    of = {e.path: e.split for e in split.examples}
    touched: dict[str, float] = {}
    for a in split.across:
        for path in (a.first, a.second):
            if of[path] == "test":
                touched[path] = max(touched.get(path, -1.0), a.correlation)
    return f"{len(touched)} of {len(split.of('test'))}", str(sum(c >= 0.35 for c in touched.values()))


if __name__ == "__main__":
    print(f"<!-- {versions()} -->")
    for line in on_real(sys.argv[1]) if len(sys.argv) > 1 else on_phantoms(5):
        print(line)
