"""Configurations side by side, each trained several times: seeds and folds put together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from frostline.errors import FrostlineError
from frostline.evaluation.catalog import named_metrics
from frostline.evaluation.configurations import ConfigurationPair, compare_configurations
from frostline.evaluation.seeds import Repeats
from frostline.files import flat_json
from frostline.report.compare import names_of
from frostline.report.configurations import every_metric, same_for_all
from frostline.runs.finished import FinishedRun, count_seeds, differing, pool_folds, trainings_in_words
from frostline.runs.folder import find_finished
from frostline.runs.patients import PatientPredictions, by_unit, same_patients, score_in_words, score_of, unit
from frostline.runs.predictions import SplitPredictions
from frostline.search.repeats import FOLDS, REPEATED
from frostline.task import Task
from frostline.terminal import render_table
from frostline.text import NAMES


@dataclass(frozen=True)
class Compared:
    """A configuration: its runs, and what each seed predicts, folds pooled."""

    name: str
    words: str
    """The options by which it differs from the others."""
    runs: tuple[FinishedRun, ...]
    seeds: tuple[SplitPredictions, ...]
    left_out: int
    """Seeds that lack a fold which others have."""
    metrics: dict[str, Repeats]
    patients: tuple[PatientPredictions, ...]
    """The same by patient, or by group where patients are not known."""
    patient_metrics: dict[str, Repeats]

    @property
    def folds(self) -> int:
        """Number of folds, 1 without."""
        return len({tuple(run.options.get(name) for name in FOLDS) for run in self.runs})


def expand(folders: Sequence[Path]) -> list[Path]:
    """The run folders themselves, and of a folder of runs, such as a study's, all finished runs in it."""
    found: dict[Path, None] = {}
    for folder in folders:
        inside = [] if (folder / "config.yaml").is_file() else [run.path for run in find_finished(folder)]
        found |= dict.fromkeys(inside or [folder])
    return [*found]


def group_runs(runs: Sequence[FinishedRun]) -> list[list[FinishedRun]]:
    """The runs, those together that differ in seed and fold alone."""
    together: dict[str, list[FinishedRun]] = {}
    for run in runs:
        same = same_for_all(run.options) | {
            name: run.options.get(name) is not None for name in FOLDS
        }  # one split is no fold of the others
        together.setdefault(json.dumps(same, sort_keys=True), []).append(run)
    return [*together.values()]


def compare_groups(
    groups: Sequence[Sequence[FinishedRun]], split: str
) -> tuple[list[Compared], list[ConfigurationPair], tuple[str, ...]]:
    """Compare configurations; with a run of each that covers other images than most, and is left out.

    Raises `FrostlineError` where fewer than two are left.
    """
    for run in (run for runs in groups for run in runs):
        if split not in run.predictions:
            raise FrostlineError(
                f"{run.folder}: its {split} images were not evaluated"
                + ("; it was run with test=false: compare with --split=val" if split == "test" else "")
            )
    if len(groups) < 2:
        raise FrostlineError(
            "frostline compare: all of these runs are one configuration, they differ in seed and fold alone; name runs "
            "of another one too, or add --networks to compare trained networks"
        )
    pooled = [pool_folds(runs, split) for runs in groups]
    most = max((p for seeds in pooled for p in seeds), key=len)
    images = [(e.sha256, e.label) for e in most.examples]
    whole = [
        tuple(p for p in seeds if p.task == most.task and [(e.sha256, e.label) for e in p.examples] == images)
        for seeds in pooled
    ]
    apart = [runs[0].folder for runs, seeds in zip(groups, whole, strict=True) if not seeds]
    if len(groups) - len(apart) < 2:
        raise FrostlineError(
            f"{apart[0]} and the runs of its configuration do not cover the same {len(most)} {NAMES[split]} images as "
            "the others: folds are missing, one split is compared with folds, or data, classes or split are others"
        )
    groups = [runs for runs, seeds in zip(groups, whole, strict=True) if seeds]
    pooled = [of for of, seeds in zip(pooled, whole, strict=True) if seeds]
    whole = [seeds for seeds in whole if seeds]
    score = score_of(groups[0][0].metrics)
    by_patient = [same_patients(seeds, score) for seeds in whole]
    words = differing([runs[0] for runs in groups])
    compared = [
        Compared(
            name,
            _without_repeats(of_runs),
            tuple(runs),
            seeds,
            len(every) - len(seeds),
            every_metric(seeds),
            patients,
            every_metric(patients),
        )
        for name, of_runs, runs, seeds, every, patients in zip(
            names_of([runs[0] for runs in groups]), words, groups, whole, pooled, by_patient, strict=True
        )
    ]
    return compared, _pairs(whole), tuple(str(folder) for folder in apart)


def _pairs(every: Sequence[Sequence[SplitPredictions]]) -> list[ConfigurationPair]:
    first = every[0][0]
    probabilities = [[p.probabilities for p in seeds] for seeds in every]
    return compare_configurations(probabilities, first.targets, first.groups, first.task)


def _without_repeats(words: str) -> str:
    return " ".join(word for word in words.split() if not word.startswith(tuple(f"{name}=" for name in REPEATED)))


def configurations_text(
    compared: Sequence[Compared], pairs: Sequence[ConfigurationPair], split: str, left_out: Sequence[str] = ()
) -> str:
    """Metrics with intervals, a row a configuration, and what can be said of every pair."""
    first = compared[0].seeds[0]
    lines = [f"{c.name}  {c.words or 'as the others'}: {_trainings(c)}" for c in compared]
    groups = len({e.group for e in first.examples})
    lines.append(
        f"\n{len(first)} {NAMES[split]} images in {groups} groups; mean over seeds, in brackets 95 % intervals over "
        "groups and seeds\n"
    )
    lines.append(_table([(c.name, c.metrics) for c in compared], first.task))
    lines += [f"\n{compared[p.first].name} - {compared[p.second].name}: {verdict(p, compared)}" for p in pairs]
    lines += _patient_lines(compared, split)
    if len(pairs) > 1:
        lines.append(f"\nIntervals of differences hold for all {len(pairs)} pairs together (Bonferroni).")
    lines += [f"\nLeft out, for it covers other images (folds are missing, or one split): {run}" for run in left_out]
    lines.append(
        "\nThis compares configurations: another training of either would be judged alike, on groups like these. Add "
        "--networks to compare the trained networks."
    )
    return "\n".join(lines)


def _table(rows: Sequence[tuple[str, Mapping[str, Repeats]]], task: Task) -> str:
    table = Table(box=SIMPLE, pad_edge=False)
    columns = named_metrics(task, "compare")
    for column in ("", *(m.label for m in columns)):
        table.add_column(column, justify="right" if column else "left")
    for name, metrics in rows:
        table.add_row(name, *(_cell(metrics[m.key], m.metric.percent) for m in columns))
    return render_table(table, width=160)


def _patient_lines(compared: Sequence[Compared], split: str) -> list[str]:
    first, of = compared[0].patients[0], compared[0].runs[0].metrics
    known = bool(of.get("patients_known"))
    who, score = by_unit(known), score_in_words(score_of(of), first.task)
    lines = [f"\n{who.capitalize()}: {len(first)} {NAMES[split]} {unit(known)}s, {score}\n"]
    lines.append(_table([(c.name, c.patient_metrics) for c in compared], first.task))
    pairs = _pairs([c.patients for c in compared])
    for p in pairs:
        lines.append(
            f"\n{compared[p.first].name} - {compared[p.second].name}, by {unit(known)}: {verdict(p, compared)}"
        )
    return lines


def _trainings(c: Compared) -> str:
    seeds = trainings_in_words(c.runs, len(c.seeds))
    words = f"{c.folds} folds, {seeds}" if c.folds > 1 and len(c.seeds) < len(c.runs) else seeds
    return f"{words}; {c.left_out} more lack a fold and are left out" if c.left_out else words


def _cell(values: Repeats, as_percent: bool) -> str:
    scale, digits = (100, 1) if as_percent else (1, 3)
    low, high = values.interval
    ends = "" if low != low else f" ({scale * low:.{digits}f}-{scale * high:.{digits}f})"
    return f"{scale * values.mean:.{digits}f}{ends}"


def verdict(pair: ConfigurationPair, compared: Sequence[Compared]) -> str:
    """What can be said of a pair, in a sentence."""
    a, b = compared[pair.first], compared[pair.second]
    d = pair.differences["acc"]
    points = f"{100 * d.value:+.1f} points of accuracy"
    one = [c.name for c in (a, b) if len(c.seeds) < 2]
    if one:
        return (
            f"{points}; nothing can be said of the configurations, for there is one seed of {' and '.join(one)}: "
            "add seeds, -m 'seed=range(3)'."
        )
    ends = f"interval {100 * d.lower:+.1f} to {100 * d.upper:+.1f}" if d.lower == d.lower else "no interval"
    if pair.shown:
        return f"{(a if d.value > 0 else b).name} is right more often: {points} ({ends})."
    return f"no difference can be shown: {points} ({ends})."


def configurations_json(compared: Sequence[Compared], pairs: Sequence[ConfigurationPair], split: str) -> dict[str, Any]:
    """The same for programs."""

    def differences(pair: ConfigurationPair) -> Mapping[str, Any]:
        return {
            key: flat_json({"value": d.value, "lower": d.lower, "upper": d.upper})
            for key, d in pair.differences.items()
        }

    first = compared[0].seeds[0]
    return {
        "split": split,
        "images": len(first),
        "configurations": [
            {
                "name": c.name,
                "options": c.words,
                "folds": c.folds,
                "seeds": count_seeds(c.runs, len(c.seeds)),
                "trainings": len(c.seeds),
            }
            | {"runs": [str(run.folder) for run in c.runs]}
            | {
                f"{prefix}{key}": flat_json({"mean": v.mean, "lower": v.interval[0], "upper": v.interval[1]})
                for prefix, metrics in (("", c.metrics), ("patient/", c.patient_metrics))
                for key, v in metrics.items()
            }
            for c in compared
        ],
        "pairs": [
            {
                "first": compared[p.first].name,
                "second": compared[p.second].name,
                "difference_shown": p.shown,
                "differences": differences(p),
                "verdict": verdict(p, compared),
            }
            for p in pairs
        ],
    }
