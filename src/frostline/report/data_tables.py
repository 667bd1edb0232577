"""Tables of the page on a data set: facts of the files and groups, by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from frostline.data.records import Scan
from frostline.report.view import Table

ROWS = 15  # of the most frequent values


def fact_tables(scan: Scan) -> Iterable[Table]:
    """Sizes, kinds, JPEG quality and ranges by class."""
    records = scan.records
    yield _count_table(scan, "pixels, width x height", [f"{r.width} x {r.height}" for r in records])
    yield _count_table(scan, "kind of file", [r.facts.kind for r in records])
    if any(r.facts.quality for r in records):
        quality = [str(r.facts.quality) if r.facts.quality else "none" for r in records]
        yield _count_table(scan, "estimated JPEG quality", quality)
    for is_hu, caption in (
        (True, "Range of the images in HU"),
        (False, "Range of images that are not in HU, values as stored"),
    ):
        rows = []
        for name in scan.task.classes:
            facts = [r.facts for r in records if r.label == name and r.facts.is_hu == is_hu]
            if facts:
                low, high = np.array([f.low for f in facts]), np.array([f.high for f in facts])
                rows.append((name, str(len(facts)), _spread(low), _spread(high)))
        if rows:
            head = ("class", "images", "lowest value: median, range", "highest value: median, range")
            yield Table(head, tuple(rows), caption)


def _spread(values: np.ndarray) -> str:
    if values.min() == values.max():
        return f"{values.min():.4g}, all"
    return f"{np.median(values):.4g}, {values.min():.4g} to {values.max():.4g}"


def _count_table(scan: Scan, what: str, values: Sequence[str]) -> Table:
    """Images by value and class, the most frequent values first."""
    classes = scan.task.classes
    counts = Counter(zip(values, (r.label for r in scan.records), strict=True))
    ranked = [value for value, _ in Counter(values).most_common()]
    rows = [(value, *(str(counts[value, c] or "-") for c in classes)) for value in ranked[:ROWS]]
    if rest := ranked[ROWS:]:
        rows.append((f"{len(rest)} others", *(str(sum(counts[v, c] for v in rest) or "-") for c in classes)))
    return Table((what, *classes), tuple(rows))


def group_table(scan: Scan, groups: Sequence[str]) -> Table:
    """Number and size of the groups by class."""
    rows = []
    for name in scan.task.classes:
        sizes = [*Counter(g for g, r in zip(groups, scan.records, strict=True) if r.label == name).values()]
        middle = f"{np.median(sizes):g}" if sizes else "-"
        rows.append((name, str(sum(sizes)), str(len(sizes)), middle, str(max(sizes, default=0))))
    held = Counter(g for g, _ in {(g, r.label) for g, r in zip(groups, scan.records, strict=True)})
    several = sum(n > 1 for n in held.values())
    caption = f"Groups with images of more than one class, which count for each: {several}." if several else ""
    return Table(("class", "images", "groups", "images of a group, median", "most"), tuple(rows), caption)
