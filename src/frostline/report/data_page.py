"""One HTML page on a data set: what the network sees of it, and what could tell the classes apart beside the lung."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from frostline.config.schema import DataConfig, RunConfig
from frostline.data.audit import Audit
from frostline.data.records import Record, Scan, Unused
from frostline.data.shortcuts import Shortcut, find_shortcuts
from frostline.files import write_text
from frostline.report.data_pictures import arriving, draw_grey, draw_group_sizes, thumbnail
from frostline.report.data_tables import fact_tables, group_table
from frostline.report.rendering import render_template
from frostline.report.view import Drawing, Picture, Strip, Table
from frostline.text import interval, percent

OF_CLASS = 12  # images on the contact sheet
ON_SHEET = 240  # images of all classes on it
CHANGED = 5  # augmented versions
NAMED = 20  # files of a kind


@dataclass(frozen=True)
class UnusedKind:
    """Files that are not used, of one status and kind: how many, and the names of some with the reason."""

    status: str
    kind: str
    count: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class DataView:
    """All that the page shows, as plain values, in the order in which it stands."""

    title: str
    made: str
    names: bool
    """Whether paths below the root are shown."""
    lines: tuple[str, ...]
    glance: dict[str, str]
    arrival: str
    """How images reach the network."""
    sheet: tuple[Strip, ...]
    augment: str
    augmented: tuple[Strip, ...]
    shortcuts: Table | None
    sentences: tuple[str, ...]
    grey: Drawing | None
    tables: tuple[Table, ...]
    groups: Table
    group_sizes: Drawing | None
    largest: Strip
    unused: tuple[UnusedKind, ...]


def picture_data(audit: Audit, text: str, config: RunConfig, file: Path) -> list[str]:
    """Test for shortcuts and write the page of a data set; returns what to say of both, a line each."""
    scan, groups = audit.scan, audit.grouping.groups
    shortcuts = find_shortcuts(scan.records, scan.thumbnails, groups, scan.task.classes)
    turned = config.model.weights == "chest_ct"
    view = assemble_data_view(scan, list(groups), config.data, shortcuts, text.splitlines(), ras_axes=turned)
    write_data_page(view, file)
    return ["", "what alone tells the classes apart:", *(f"  {s.sentence}" for s in shortcuts), "", f"page: {file}"]


def write_data_page(view: DataView, file: Path) -> None:
    """Write the page, self-contained: it shows images of the data set and may go where the data may go."""
    write_text(file, render_template("data.html", view))


def assemble_data_view(
    scan: Scan,
    groups: Sequence[str],
    config: DataConfig,
    shortcuts: Sequence[Shortcut],
    lines: Sequence[str],
    *,
    ras_axes: bool = False,
    names: bool = True,
    seed: int = 0,
) -> DataView:
    """Everything on the page out of a scan.

    Args:
        scan: the data set.
        groups: name of the group of each record.
        config: its `image_size`, `augment` and window say how images arrive.
        shortcuts: what `find_shortcuts` says of it; none: they were not looked for.
        lines: the audit's text, shown as it is.
        ras_axes: whether the network turns its images (`InputSpec.ras_axes`, as chest_ct weights want it).
        names: whether paths below the root are shown; without them no path is.
        seed: what the images shown are drawn by.

    Raises:
        FrostlineError: a file to be shown is gone or can no longer be read.
    """
    classes = scan.task.classes
    labels = np.array([scan.task.index(r.label) for r in scan.records], np.int64)
    rng = np.random.default_rng(seed)
    each = max(1, min(OF_CLASS, ON_SHEET // len(classes)))
    drawn = [_draw(np.flatnonzero(labels == i), groups, each, rng) for i in range(len(classes))]
    changed = range(seed, seed + CHANGED) if config.augment != "none" else ()
    sheet, augmented = [], []
    for name, chosen in zip(classes, drawn, strict=True):
        shown = [arriving(scan, i, config, ras_axes, changed if i == chosen[0] else ()) for i in chosen]
        pictures = [Picture(s[0], _path(scan.records[i], names)) for s, i in zip(shown, chosen, strict=True)]
        sheet.append(Strip(f"{name}: {len(pictures)} of {int((labels == classes.index(name)).sum())}", tuple(pictures)))
        if changed and shown:
            versions = (Picture(s, f"changed, draw {n}") for n, s in enumerate(shown[0][1:], 1))
            augmented.append(Strip(name, (Picture(shown[0][0], "as it arrives"), *versions)))
    return DataView(
        title=scan.root.name,
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        names=names,
        lines=tuple(lines),
        glance=_glance(scan, groups),
        arrival=_arrival(scan.records, config, ras_axes),
        sheet=tuple(sheet),
        augment=config.augment,
        augmented=tuple(augmented),
        shortcuts=_shortcut_table(shortcuts) if shortcuts else None,
        sentences=tuple(s.sentence for s in shortcuts),
        grey=Drawing(draw_grey(scan.thumbnails, labels, classes, rng)) if scan.records else None,
        tables=tuple(fact_tables(scan)),
        groups=group_table(scan, groups),
        group_sizes=Drawing(draw_group_sizes(np.array([*Counter(groups).values()]))) if groups else None,
        largest=_largest(scan, groups, names),
        unused=tuple(_unused(scan.unused, names)),
    )


def _draw(own: np.ndarray, groups: Sequence[str], count: int, rng: np.random.Generator) -> list[int]:
    """Up to `count` of the images `own`: of every group one before a second one of any, groups and images drawn."""
    taken: Counter[str] = Counter()
    turns: list[tuple[int, int, int]] = []
    for i in rng.permutation(own).tolist():
        turns.append((taken[groups[i]], len(turns), i))
        taken[groups[i]] += 1
    by_group: dict[str, float] = {g: float(rng.random()) for g in sorted(taken)}
    turns.sort(key=lambda t: (t[0], by_group[groups[t[2]]]))  # else large groups would come first
    return [i for _, _, i in turns[:count]]


def _path(record: Record, names: bool) -> str:
    return record.path if names else ""


def _glance(scan: Scan, groups: Sequence[str]) -> dict[str, str]:
    of = Counter(r.label for r in scan.records)
    status = Counter(u.status for u in scan.unused)
    return {
        "images": f"{len(scan.records):,}: " + ", ".join(f"{of[name]:,} {name}" for name in scan.task.classes),
        "groups": f"{len(set(groups)):,}",
        "files not used": ", ".join(f"{n:,} {name}" for name, n in status.most_common()) or "none",
    }


def _arrival(records: Sequence[Record], config: DataConfig, ras_axes: bool) -> str:
    window = f"in HU through a window of {config.window_width:.0f} HU around {config.window_center:.0f} HU"
    in_hu = sum(r.facts.is_hu for r in records)
    grey = window if in_hu == len(records) else f"{in_hu} of {len(records)} {window}, the others by their full range"
    grey = "grey by the full range of its kind of file" if not in_hu else grey
    turned = "turned as the weights want it (axes of a RAS volume)" if ras_axes else "not turned"
    return f"{grey}; resized to {config.image_size} x {config.image_size}, aspect not kept; {turned}."


def _shortcut_table(shortcuts: Sequence[Shortcut]) -> Table:
    def row(s: Shortcut) -> tuple[str, ...]:
        p = "-" if s.p_corrected != s.p_corrected else f"{s.p_corrected:.3f}"
        chance = "-" if s.accuracy != s.accuracy else interval(*s.chance)
        return s.name, percent(s.given), chance, percent(s.accuracy), p, s.verdict

    drawn = next((s.drawn for s in shortcuts if s.drawn), "")
    return Table(
        ("alone", "true class is given", "by chance", "balanced accuracy", "p after Holm", "verdict"),
        tuple(row(s) for s in shortcuts),
        f"Drawn for it: {drawn}." if drawn else "",
    )


def _largest(scan: Scan, groups: Sequence[str], names: bool) -> Strip:
    """Thumbnails of the largest group, evenly from its first file to its last: a chain ends far from its start."""
    if not groups:
        return Strip("", ())
    name, size = Counter(groups).most_common(1)[0]
    own = [i for i, g in enumerate(groups) if g == name]
    shown = [own[k] for k in np.unique(np.linspace(0, size - 1, min(size, OF_CLASS)).round().astype(int)).tolist()]
    of = Counter(scan.records[i].label for i in own)
    title = f"{size} images ({', '.join(f'{n} {label}' for label, n in of.most_common())}), {len(shown)} shown"
    records = scan.records
    pictures = (Picture(thumbnail(scan.thumbnails[i]), _path(records[i], names) or records[i].label) for i in shown)
    return Strip(title, tuple(pictures))


def _unused(unused: Sequence[Unused], names: bool) -> Iterable[UnusedKind]:
    kinds: dict[tuple[str, str], list[Unused]] = {}
    for u in unused:
        kinds.setdefault((u.status, u.kind), []).append(u)
    for (status, kind), files in sorted(kinds.items(), key=lambda item: (item[0][0], -len(item[1]), item[0][1])):
        shown = tuple(f"{u.path}: {u.reason}" if u.reason else u.path for u in files[:NAMED]) if names else ()
        yield UnusedKind(status, kind, len(files), shown)
