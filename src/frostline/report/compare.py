"""Runs side by side: on the screen, and as plain values for programs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from frostline.errors import FrostlineError
from frostline.evaluation.catalog import named_metrics
from frostline.evaluation.comparison import Pair, compare, verdict
from frostline.files import flat_json
from frostline.report.configurations import LeakGap, gap_rows
from frostline.runs.finished import FinishedRun, differing, metrics_of, read_run, same_images
from frostline.runs.summary import with_interval
from frostline.terminal import render_table
from frostline.text import NAMES

SHOWN_IMAGES = 5


def compare_folders(folders: Sequence[Path], split: str) -> tuple[list[FinishedRun], list[Pair]]:
    """Read and compare runs. Raises `FrostlineError` for fewer than two, or when their images differ."""
    runs = [read_run(folder) for folder in folders]
    if len({run.folder.resolve() for run in runs}) < max(2, len(runs)):
        raise FrostlineError("frostline compare: give two or more different run folders")
    same_images(runs, split)
    first = runs[0].predictions[split]
    probabilities = [run.predictions[split].probabilities for run in runs]
    return runs, compare(probabilities, first.targets, first.groups, first.task)


def compare_text(runs: Sequence[FinishedRun], pairs: Sequence[Pair], split: str) -> str:
    """Metrics with intervals, a row a run, and what can be said of every pair."""
    examples = runs[0].predictions[split].examples
    names = names_of(runs)
    lines = [
        f"{name}  {run.folder}  {words}".rstrip() for name, run, words in zip(names, runs, differing(runs), strict=True)
    ]
    groups = len({e.group for e in examples})
    lines.append(f"\n{len(examples)} {NAMES[split]} images in {groups} groups; in brackets 95 % intervals, by group\n")
    if split == "val":
        lines.append("Validation images chose the epoch of every run, so all numbers are somewhat too high.\n")
    table = Table(box=SIMPLE, pad_edge=False)
    columns = named_metrics(runs[0].task, "compare")
    for column in ("", *(m.label for m in columns)):
        table.add_column(column, justify="right" if column else "left")
    for name, run in zip(names, runs, strict=True):
        values = metrics_of(run, split)
        cells = (with_interval(values, f"{split}/{m.key}", m.metric.percent, short=True) for m in columns)
        table.add_row(name, *cells)
    lines.append(render_table(table, width=160))
    for pair in pairs:
        lines.append(f"\n{names[pair.first]} - {names[pair.second]}: {verdict(pair, names, len(examples))}")
        for who, images in ((pair.first, pair.only_first), (pair.second, pair.only_second)):
            if images:
                paths = ", ".join(examples[i].path for i in islice(images, SHOWN_IMAGES))
                more = f" and {len(images) - SHOWN_IMAGES} more" if len(images) > SHOWN_IMAGES else ""
                lines.append(f"  only {names[who]} is right: {paths}{more}")
    if len(pairs) > 1:
        lines.append(f"\nIntervals of differences hold for all {len(pairs)} pairs together (Bonferroni), p after Holm.")
    return "\n".join(lines)


def compare_json(runs: Sequence[FinishedRun], pairs: Sequence[Pair], split: str) -> dict[str, Any]:
    """The same, with every image and every difference."""
    examples, names = runs[0].predictions[split].examples, names_of(runs)
    return {
        "split": split,
        "images": len(examples),
        "runs": [
            {"name": name, "folder": str(run.folder)}
            | flat_json({k.removeprefix(f"{split}/"): v for k, v in metrics_of(run, split).items()})
            for name, run in zip(names, runs, strict=True)
        ],
        "pairs": [
            {
                "first": names[pair.first],
                "second": names[pair.second],
                "difference_shown": pair.shown,
                "verdict": verdict(pair, names, len(examples)),
                "groups": pair.groups,
                "mcnemar_p": pair.mcnemar,
                "p": pair.p,
                "p_holm": pair.p_corrected,
                "only_first_right": [examples[i].path for i in pair.only_first],
                "only_second_right": [examples[i].path for i in pair.only_second],
                "differences": {
                    name: flat_json({"value": d.value, "lower": d.lower, "upper": d.upper})
                    for name, d in pair.differences.items()
                },
            }
            for pair in pairs
        ],
    }


def gap_text(gap: LeakGap) -> str:
    """The leak gap as a table for the screen, and a sentence."""
    table = Table(box=SIMPLE, pad_edge=False)
    for column in ("", "by image", "by group", "gap, points", "95 % interval"):
        table.add_column(column, justify="right" if column else "left")
    for row in gap_rows(gap):
        table.add_row(*row)
    (_, (low, high)), c = gap.differences["acc"], gap.by_image
    shown = "more" if low > 0 else "less" if high < 0 else None
    verdict = f"The split by image gives {shown} accuracy." if shown else "No difference can be shown."
    return (
        f"\n{render_table(table)}\n\n{c.leaks} of {len(c.examples)} test images drawn by image have one of their group "
        f"in training, {gap.by_group.leaks} of {len(gap.by_group.examples)} drawn by group; {c.seeds} and "
        f"{gap.by_group.seeds} seeds, one draw of each split. {verdict}"
    )


def names_of(runs: Sequence[FinishedRun]) -> list[str]:
    """A letter for each run; after Z numbers."""
    return [ascii_uppercase[i] if i < 26 else f"run{i + 1}" for i in range(len(runs))]
