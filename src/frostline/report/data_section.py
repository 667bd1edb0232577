"""The data set of a report's runs: how it is split, what leaks, how it looks."""

from __future__ import annotations

from collections import Counter

from frostline.config.schema import RunConfig
from frostline.data.audit import Audit
from frostline.data.audit_text import audit_text
from frostline.data.dataset import SplitData
from frostline.data.splits import SPLITS
from frostline.report.data_page import assemble_data_view
from frostline.report.view import DataSection, Strip, Table
from frostline.text import NAMES

IN_STRIP = 6  # slices of a class


def data_section(audit: Audit, config: RunConfig, *, images: bool) -> DataSection:
    """The section on the data set of `config`; without `images` none is shown, and no file is named."""
    turned = config.model.weights == "chest_ct"
    groups = list(audit.grouping.groups)
    view = assemble_data_view(audit.scan, groups, config.data, (), (), ras_axes=turned, names=False)
    splits = () if audit.split is None else (_splits(audit.split), _leaks(audit))
    count = Counter(r.label for r in audit.scan.records)
    shown = zip(audit.scan.task.classes, view.sheet, strict=True) if images else ()
    strips = tuple(
        Strip(f"{label}: {min(IN_STRIP, len(s.pictures))} of {count[label]:,}", s.pictures[:IN_STRIP])
        for label, s in shown
    )
    text = audit_text(audit, config.data, images)
    return DataSection((*splits, view.groups), view.tables, strips, view.group_sizes, text)


def _splits(data: SplitData) -> Table:
    def cell(split: str, label: str) -> str:
        own = [e for e in data.of(split) if label in ("all", e.label)]
        return f"{len(own):,} in {len({e.group for e in own}):,}"

    rows = [(label, *(cell(split, label) for split in SPLITS)) for label in (*data.task.classes, "all")]
    what = "patients" if data.patients_known else "groups"
    caption = (
        f"Images of each class in how many {what}. Images of one group (a patient, a series, copies) stay together."
    )
    return Table(("", *(NAMES[split] for split in SPLITS)), tuple(rows), caption)


def _leaks(audit: Audit) -> Table:
    data = audit.split
    assert data is not None
    in_training = {e.path for e in data.of("train")}
    alike: Counter[str] = Counter()
    for pair in data.alike_across:
        other = pair.first if pair.second in in_training else pair.second
        alike[next((e.split for e in data.examples if e.path == other), "")] += 1
    rows = [
        ("with one of their group", *(str(data.leaks[s]) for s in ("val", "test"))),
        ("with a copy or near copy", *(str(data.near_copies[s]) for s in ("val", "test"))),
        ("neighbours by number, alike", *(str(alike[s]) for s in ("val", "test"))),
    ]
    leaks, images = audit.random_leaks
    by_image = (
        f" Drawn by image, {leaks} of {images} test images would have one of their group there." if images else ""
    )
    return Table(("in training", NAMES["val"], NAMES["test"]), tuple(rows), f"What leaks into training.{by_image}")
