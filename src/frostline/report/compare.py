"""Runs side by side: on the screen, and as plain values for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from string import ascii_uppercase
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from frostline.errors import FrostlineError
from frostline.evaluation.catalog import named_metrics
from frostline.evaluation.comparison import Pair, compare, verdict
from frostline.evaluation.metrics import evaluate
from frostline.files import flat_json
from frostline.report.configurations import LeakGap, gap_header, gap_leaks, gap_rows
from frostline.runs.finished import FinishedRun, differing, metrics_of, same_images
from frostline.runs.patients import (
    PatientPredictions,
    PatientScore,
    by_unit,
    mixed_in_words,
    same_patients,
    score_in_words,
    score_of,
    unit,
)
from frostline.runs.predictions import SplitPredictions
from frostline.runs.summary import with_interval
from frostline.task import Task
from frostline.terminal import render_table
from frostline.text import NAMES

SHOWN_IMAGES = 5


@dataclass(frozen=True)
class ByPatient:
    """The same runs by patient."""

    predicted: tuple[PatientPredictions, ...]
    pairs: tuple[Pair, ...]
    score: PatientScore
    """That of the first run."""
    known: bool
    """Whether patients are known; else groups stand for them."""


def compare_runs(runs: Sequence[FinishedRun], split: str) -> list[Pair]:
    """Compare runs. Raises `FrostlineError` for fewer than two, or when their images differ."""
    if len({run.folder.resolve() for run in runs}) < max(2, len(runs)):
        raise FrostlineError("frostline compare: give two or more different run folders")
    same_images(runs, split)
    return _pairs([run.predictions[split] for run in runs])


def compare_patients(runs: Sequence[FinishedRun], split: str) -> ByPatient:
    """The runs of `compare_runs` by patient, put together as the first of them says."""
    score = score_of(runs[0].metrics)
    predicted = same_patients([run.predictions[split] for run in runs], score)
    return ByPatient(predicted, tuple(_pairs(predicted)), score, bool(runs[0].metrics.get("patients_known")))


def _pairs(predicted: Sequence[SplitPredictions]) -> list[Pair]:
    first = predicted[0]
    return compare([p.probabilities for p in predicted], first.targets, first.groups, first.task)


def compare_text(runs: Sequence[FinishedRun], pairs: Sequence[Pair], split: str) -> str:
    """Metrics with intervals, a row a run, and what can be said of every pair; by slice, then by patient."""
    examples = runs[0].predictions[split].examples
    names = names_of(runs)
    lines = [
        f"{name}  {run.folder}  {words}".rstrip() for name, run, words in zip(names, runs, differing(runs), strict=True)
    ]
    groups = len({e.group for e in examples})
    lines.append(f"\n{len(examples)} {NAMES[split]} images in {groups} groups; in brackets 95 % intervals, by group\n")
    if split == "val" and any(run.options["trainer.monitor"] != "none" for run in runs):
        lines.append("Validation images chose the epoch (trainer.monitor): such numbers are somewhat too high.\n")
    lines.append(_table(names, [metrics_of(run, split) for run in runs], split, runs[0].task))
    for pair in pairs:
        lines.append(f"\n{names[pair.first]} - {names[pair.second]}: {verdict(pair, names, len(examples))}")
        for who, images in ((pair.first, pair.only_first), (pair.second, pair.only_second)):
            if images:
                paths = ", ".join(examples[i].path for i in islice(images, SHOWN_IMAGES))
                more = f" and {len(images) - SHOWN_IMAGES} more" if len(images) > SHOWN_IMAGES else ""
                lines.append(f"  only {names[who]} is right: {paths}{more}")
    lines += _patient_lines(compare_patients(runs, split), names, split)
    if len(pairs) > 1:
        lines.append(f"\nIntervals of differences hold for all {len(pairs)} pairs together (Bonferroni), p after Holm.")
    lines.append("\nThis compares trained networks: whether a configuration beats another takes several seeds of each.")
    return "\n".join(lines)


def _table(names: Sequence[str], values: Sequence[Mapping[str, float]], stage: str, task: Task) -> str:
    """Metrics `stage/...` of every run in a row."""
    table = Table(box=SIMPLE, pad_edge=False)
    columns = named_metrics(task, "compare")
    for column in ("", *(m.label for m in columns)):
        table.add_column(column, justify="right" if column else "left")
    for name, of_run in zip(names, values, strict=True):
        cells = (with_interval(of_run, f"{stage}/{m.key}", m.metric.percent, short=True) for m in columns)
        table.add_row(name, *cells)
    return render_table(table, width=160)


def _patient_lines(by: ByPatient, names: Sequence[str], split: str) -> list[str]:
    first, unit_of = by.predicted[0], unit(by.known)
    mixed = mixed_in_words(first.mixed, by.known, first.task)
    lines = [
        f"\n{by_unit(by.known).capitalize()}: {len(first)} {NAMES[split]} {unit_of}s, "
        f"{score_in_words(by.score, first.task)}; in brackets 95 % intervals" + (f"\n{mixed}" if mixed else ""),
        "",
        _table(names, _patient_metrics(by, split), split, first.task),
    ]
    for pair in by.pairs:
        who = f"{names[pair.first]} - {names[pair.second]}, {by_unit(by.known)}"
        lines.append(f"\n{who}: {patient_verdict(pair, names, len(first), unit_of)}")
        for number, which in ((pair.first, pair.only_first), (pair.second, pair.only_second)):
            if which:
                shown = ", ".join(first.examples[i].group for i in islice(which, SHOWN_IMAGES))
                more = f" and {len(which) - SHOWN_IMAGES} more" if len(which) > SHOWN_IMAGES else ""
                lines.append(f"  only {names[number]} is right: {shown}{more}")
    return lines


def _patient_metrics(by: ByPatient, split: str) -> list[dict[str, float]]:
    """All metrics `split/...` of every run by patient."""
    of_images = f"{split}/images", f"{split}/groups"
    values = [evaluate(split, p.probabilities, p.targets, p.task, p.groups) for p in by.predicted]
    return [{key: value for key, value in of_run.items() if key not in of_images} for of_run in values]


def patient_verdict(pair: Pair, names: Sequence[str], patients: int, unit_of: str) -> str:
    """What can be said of a pair by patient, in a sentence; `unit_of` is what stands for patients."""
    a, b = names[pair.first], names[pair.second]
    x, y = len(pair.only_first), len(pair.only_second)
    if x + y == 0:
        return f"{a} and {b} agree: the same {patients} {unit_of}s, the same ones right."
    d = pair.differences["acc"]
    ends = f"interval {100 * d.lower:+.1f} to {100 * d.upper:+.1f}" if d.lower == d.lower else "no interval"
    details = (
        f"{a} alone is right on {x} {unit_of}s, {b} alone on {y}, of {patients}: {100 * d.value:+.1f} points of "
        f"accuracy ({ends}; p = {pair.p_corrected:.2g} when {unit_of}s are swapped)"
    )
    if pair.shown:
        return f"{a if d.value > 0 else b} is right more often: {details}."
    return f"no difference can be shown: {details}."


def compare_json(runs: Sequence[FinishedRun], pairs: Sequence[Pair], split: str) -> dict[str, Any]:
    """The same, with every image, every patient and every difference; metrics by patient are `patient/...`."""
    examples, names, by = runs[0].predictions[split].examples, names_of(runs), compare_patients(runs, split)
    patients = by.predicted[0]
    return {
        "split": split,
        "images": len(examples),
        "patients": len(patients),
        "patients_known": by.known,
        "patients_mixed": patients.mixed,
        "patient_score": by.score,
        "runs": [
            {"name": name, "folder": str(run.folder)}
            | flat_json({k.removeprefix(f"{split}/"): v for k, v in metrics_of(run, split).items()})
            | flat_json({f"patient/{k.removeprefix(f'{split}/')}": v for k, v in of_patients.items()})
            for name, run, of_patients in zip(names, runs, _patient_metrics(by, split), strict=True)
        ],
        "pairs": [
            _pair_json(pair, names, [e.path for e in examples])
            | {"verdict": verdict(pair, names, len(examples)), "groups": pair.groups, "mcnemar_p": pair.mcnemar}
            for pair in pairs
        ],
        "patient_pairs": [
            _pair_json(pair, names, [e.group for e in patients.examples])
            | {"verdict": patient_verdict(pair, names, len(patients), unit(by.known))}
            for pair in by.pairs
        ],
    }


def _pair_json(pair: Pair, names: Sequence[str], units: Sequence[str]) -> dict[str, Any]:
    """A pair of runs; `units` are names of the images or patients."""
    return {
        "first": names[pair.first],
        "second": names[pair.second],
        "difference_shown": pair.shown,
        "p": pair.p,
        "p_holm": pair.p_corrected,
        "only_first_right": [units[i] for i in pair.only_first],
        "only_second_right": [units[i] for i in pair.only_second],
        "differences": {
            name: flat_json({"value": d.value, "lower": d.lower, "upper": d.upper})
            for name, d in pair.differences.items()
        },
    }


def gap_text(gap: LeakGap) -> str:
    """The leak gap as a table for the screen, and what it shows, a sentence a split."""
    table = Table(box=SIMPLE, pad_edge=False)
    for column in gap_header(gap):
        table.add_column(column, justify="right" if column else "left")
    for row in gap_rows(gap):
        table.add_row(*row)
    lines = [f"\n{render_table(table, width=160)}\n", gap_leaks(gap)]
    seeds = ", ".join(f"{c.seeds} {gap.names[split]}" for split, c in gap.by_split.items())
    lines.append(f"Seeds: {seeds}; one draw of each split, so that other test images are in each.")
    for split, differences in gap.differences.items():
        low, high = differences["acc"][1]
        shown = "more" if low > 0 else "less" if high < 0 else None
        name = f"{gap.names[split][0].upper()}{gap.names[split][1:]}"
        whole = f"the split {gap.names['grouped']}"
        lines.append(
            f"{name}: {shown} accuracy than on {whole}." if shown else f"{name}: no difference to {whole} can be shown."
        )
    return "\n".join(lines)


def names_of(runs: Sequence[FinishedRun]) -> list[str]:
    """A letter for each run; after Z numbers."""
    return [ascii_uppercase[i] if i < 26 else f"run{i + 1}" for i in range(len(runs))]
