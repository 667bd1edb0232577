"""What a run says of itself on the screen, in words a person understands."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from frostline.config.schema import RunConfig
from frostline.data.dataset import SplitData
from frostline.data.grouping import METHODS
from frostline.data.patients import count_by_source
from frostline.data.records import Unused
from frostline.data.splits import SPLITS
from frostline.evaluation.calibration import TEMPERATURES
from frostline.evaluation.catalog import named_metrics
from frostline.evaluation.tolerance import needed_number
from frostline.models.classifier import BuiltModel
from frostline.runs.patients import by_unit, mixed_in_words, score_in_words, score_of, unit
from frostline.task import Task
from frostline.terminal import render_table
from frostline.text import NAMES, duration, interval, number, percent, with_level

MOST_REASONS = 3  # why there is no interval, on the screen


def describe_run(config: RunConfig, run_dir: Path) -> str:
    """The first lines: what this is and where it goes."""
    lines = [f"{config.preset}" if config.preset else "", f"folder  {run_dir}"]
    return "\n".join(line for line in lines if line)


def describe_data(config: RunConfig, data: SplitData) -> str:
    """Images of each split and class, and what leaks."""
    lines = []
    for split in SPLITS:
        count = Counter(e.label for e in data.of(split))
        classes = ", ".join(f"{count[name]} {name}" for name in data.task.classes)
        groups = len({e.group for e in data.of(split)})
        lines.append(f"        {NAMES[split]:<10} {count.total():>5} images in {groups} groups ({classes})")
    lines[0] = f"data    {lines[0].strip()}"
    lines += [f"        {line}" for line in unused_lines(data.unused)]
    lines += [f"        {line}" for line in (*patient_lines(config, data), *data.remarks)]
    lines += leak_lines(config, data)
    if (alike := data.alike_across) and config.data.split not in ("copies", "random"):
        lines.append(
            f"warning: of {len(alike)} pairs of neighbours by number that are alike one alone is in training, such as "
            f"{alike[0].first} and {alike[0].second} ({alike[0].correlation:.2f})"
        )
    return "\n".join(lines)


def leak_lines(config: RunConfig, data: SplitData) -> list[str]:
    """A warning where test images have one of their group in training, or where that could not be seen."""
    leaks, tests = data.leaks["test"], len(data.of("test"))
    which = f"warning: data.split={config.data.split}:"
    what = "their patient" if data.patients_known else "one of their group (series, copies)"
    if leaks:
        how = "is" if data.patients_known else "may be"
        return [
            f"{which} {leaks} of {tests} test images ({percent(leaks / tests)}) have {what} in training, "
            f"{data.near_copies['test']} a near copy, so the result {how} too high; data.split=grouped keeps them apart"
        ]
    if data.leaks["val"]:
        return [
            f"{which} {data.leaks['val']} of {len(data.of('val'))} validation images have {what} in training: "
            "epoch and threshold are chosen on images that are too easy; data.split=grouped keeps them apart"
        ]
    if config.data.split == "random" and not data.patients_known:
        return [f"{which} no test image is seen to have {what} in training, but patients are not known"]
    return []


def unused_lines(unused: Sequence[Unused]) -> list[str]:
    """How many files are not used, by status and kind; nothing when all are."""
    lines = []
    for status in ("no image", "left out", "unreadable"):
        files = [u for u in unused if u.status == status]
        kinds = Counter(u.kind for u in files if u.kind)
        shown = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(8))
        if files:
            what = {"no image": "no images", "unreadable": "left out, for they cannot be read"}.get(status, status)
            lines.append(f"{what}: {len(files)} files{f' ({shown})' if shown else ''}")
    return lines


def patient_lines(config: RunConfig, data: SplitData) -> list[str]:
    """What is known of patients, and where a class has few groups."""
    lines = []
    if data.grouping is not None and data.patients_known:
        sources = [METHODS[source] for source in count_by_source(data.grouping.patients)]
        lines.append(f"groups: {', '.join(sources)}, and near copies")
    elif data.grouping is not None:
        known, of = data.grouping.patients.known, len(data.grouping.groups)
        methods = {m for by in data.grouping.by for m in by.split("+")}
        lines.append(
            f"the patient is known of {known or 'none'} of {of} images; groups: "
            f"{', '.join(METHODS[m] for m in METHODS if m in methods) or 'none, every image is one'}. Slices of one "
            "patient may\n        stand in training and test: the result holds for new slices, not for new patients"
        )
    if config.data.val_fold is None and data.grouping is not None and (few := data.few_groups()):
        lines.append(few)
    return lines


def describe_model(config: RunConfig, model: BuiltModel, hardware: str) -> str:
    """What is trained, from what, and how."""
    last = f", up to {model.table[config.freeze - 1].name}" if config.freeze else ""
    unit = {"layer": "layers", "weighted": "weighted layers", "stage": "stages"}[config.freeze_unit]
    o, d = config.optimizer, config.data
    return "\n".join(
        (
            f"model   {config.model.name}, weights: {model.weights}",
            f"        frozen: the first {config.freeze} of {len(model.table)} {unit}{last}; "
            f"{percent(model.frozen_parameters)} of the parameters, "
            f"{percent(model.frozen_multiply_adds)} of the multiply-adds",
            f"train   {o.name} {o.lr:g}, batch {d.batch_size}, {d.image_size} px, {config.trainer.max_epochs} epochs, "
            f"seed {config.seed}; {hardware}",
        )
    )


def result_table(metrics: Mapping[str, Any], task: Task, run_dir: Path, uses: int = 0) -> str:
    """The result as a table and a sentence: validation, which chose the epoch, and test, when it was looked at.

    `uses` is how often runs have evaluated this test set.
    """
    stages = [s for s in ("val", "test") if f"{s}/acc" in metrics]
    last = stages[-1]
    if f"{last}/patient/acc" in metrics:  # runs of before have none
        stages.append(f"{last}/patient")
    table = Table(box=SIMPLE, title=None, pad_edge=False)
    table.add_column("percent")
    for stage in stages:
        table.add_column(_column(metrics, stage), justify="right")
    for cells in result_rows(metrics, task, stages):
        table.add_row(*cells)
    return f"{render_table(table)}\n{_sentence(metrics, task, last, uses)}\nfolder  {run_dir}"


def result_rows(metrics: Mapping[str, Any], task: Task, stages: Sequence[str]) -> list[tuple[str, ...]]:
    """Every metric of a run with its interval: what it is, and a cell for each of `stages` (`val`, `test/patient`)."""
    rows: list[tuple[str, ...]] = []

    def row(label: str, key: str, as_percent: bool = True) -> None:
        rows.append((label, *(with_interval(metrics, f"{s}/{key}", as_percent, short=True) for s in stages)))

    for key, label, metric, i in named_metrics(task, "run"):
        if key.endswith("/recall"):
            label += f", of {', '.join(str(metrics[f'{s}/{task.classes[i]}/support']) for s in stages)}"
        row(label, key, metric.percent)
    if f"{stages[0]}/scaled/overconfidence" in metrics:  # predictions from elsewhere have no temperature
        row("overconfidence after temperature", "scaled/overconfidence")
    if metrics.get("operating/threshold") is not None:
        at = (metrics.get(f"{_level(s)}operating/threshold") for s in stages)
        wanted = percent(metrics["operating/wanted_sensitivity"])
        rows.append((f"{task.positive}: threshold for {wanted}", *("-" if t is None else f"{t:.3f}" for t in at)))
        row(f"{task.positive}, from it: sensitivity", "operating/sensitivity")
        row(f"{task.positive}, from it: specificity", "operating/specificity")
        if metrics.get("operating/prevalence") is not None:
            there = f"at {percent(metrics['operating/prevalence'])}"
            row(f"{task.positive}, from it: PPV {there}", "operating/ppv")
            row(f"{task.positive}, from it: NPV {there}", "operating/npv")
    return rows


def _level(stage: str) -> str:
    """What stands before a metric that was chosen on validation: `patient/` by patient."""
    return "patient/" if stage.endswith("/patient") else ""


def _column(metrics: Mapping[str, Any], stage: str) -> str:
    """Heading of a column of the result, in lines."""
    split = NAMES[stage.split("/")[0]]
    if not _level(stage):
        return f"{split}\n{metrics[f'{stage}/images']} images,\n{metrics.get(f'{stage}/groups', '?')} groups"
    known = metrics.get("patients_known")
    heading = f"{split} by {unit(known)}\n{metrics[f'{stage}/patients']} {unit(known)}s"
    return heading if known else f"{heading},\npatients not known"


def _sentence(metrics: Mapping[str, Any], task: Task, stage: str, uses: int) -> str:
    right, images = metrics[f"{stage}/correct"], metrics[f"{stage}/images"]
    ends = with_level(*_ends(metrics, f"{stage}/acc"))
    positives = ""
    if task.positive is not None:
        support = metrics[f"{stage}/{task.positive}/support"]
        correct = round((metrics[f"{stage}/{task.positive}/recall"] or 0) * support)
        positives = f" and finds {correct} of {support} {task.positive} ones"
    chosen = "" if metrics.get("monitor") == "none" else ", chosen on validation,"
    sentence = (
        f"Epoch {metrics['best_epoch']} of {metrics['epochs']}{chosen} gets {right} of {images} "
        f"{NAMES[stage]} images right\n({percent(right / images)}, {ends}){positives}, in "
        f"{duration(metrics['seconds'])} of computing.\n"
        "In brackets 95 % intervals, by groups of images that belong together.\n"
        "A figure for research, no diagnosis."
    )
    reasons = (
        metrics.get(f"{s}/{m.key}/why") for s in ("val", "test", f"{stage}/patient") for m in named_metrics(task, "run")
    )
    if few := [*dict.fromkeys(reason for reason in reasons if reason)]:
        rest = f"; and for {len(few) - MOST_REASONS} reasons more (.../why in metrics.json)"
        shown = f"{'; '.join(few[:MOST_REASONS])}{rest if len(few) > MOST_REASONS else ''}"
        sentence += "\n" + textwrap.fill(f"Without an interval: {shown}.", 98)
    sentence += _patient_sentence(metrics, task, stage)
    sentence += "".join(f"\n{line}" for line in uncertain_sentences(metrics, task, stage))
    guarantee = guarantee_in_words(metrics, str(task.positive))
    sentence += f"\n{guarantee}" if guarantee else ""
    if stage == "val":
        sentence += " The test set was left alone."
    elif uses > 1:
        sentence += (
            f"\nRuns in this logs folder have evaluated this test set {uses} times: the more, the less it proves. "
            "Compare on validation (test=false)."
        )
    return sentence


def _patient_sentence(metrics: Mapping[str, Any], task: Task, stage: str) -> str:
    """How many patients are right, and how they were put together, on lines of their own; nothing where none are."""
    at, known = f"{stage}/patient", metrics.get("patients_known")
    if f"{at}/acc" not in metrics:
        return ""
    right, patients = metrics[f"{at}/correct"], metrics[f"{at}/patients"]
    ends = with_level(*_ends(metrics, f"{at}/acc"))
    mixed = mixed_in_words(metrics[f"{at}/mixed"], known, task)
    return (
        f"\n{by_unit(known).capitalize()} ({score_in_words(score_of(metrics), task)}): {right} of {patients} right\n"
        f"({percent(right / patients)}, {ends})." + (f"\n{mixed}" if mixed else "")
    )


def interval_of(metrics: Mapping[str, Any], key: str) -> str:
    """The interval of a metric in words, out of stored metrics, in which what is no number is None."""
    return interval(*_ends(metrics, key))


def _ends(metrics: Mapping[str, Any], key: str) -> tuple[float, float]:
    low, high = (metrics.get(f"{key}/{end}") for end in ("lower", "upper"))
    return (math.nan, math.nan) if low is None or high is None else (float(low), float(high))


def uncertain_sentences(metrics: Mapping[str, Any], task: Task, stage: str) -> list[str]:
    """What `stage` cannot say, a sentence each: classes that are never predicted, how sure to be."""
    lines = []
    dead = [n for n in task.classes if metrics[f"{stage}/{n}/support"] and metrics.get(f"{stage}/{n}/predicted") == 0]
    if dead:
        lines.append(f"Never predicted: {', '.join(dead)}; data.balance=class_weights or sampler may help.")
    if not TEMPERATURES[0] * 1.01 < metrics["temperature"] < TEMPERATURES[1] / 1.01:
        lines.append("The temperature is at its limit: these validation images do not say how sure to be.")
    return lines


def guarantee_in_words(metrics: Mapping[str, Any], positive: str) -> str:
    """With `sensitivity_confidence` what the threshold keeps, and if that is less, what it would take; else empty."""
    wanted, threshold = metrics.get("operating/wanted_confidence"), metrics.get("operating/threshold")
    if wanted is None or threshold is None or threshold != threshold:
        return ""
    sensitivity, kept = metrics["operating/wanted_sensitivity"], metrics["operating/confidence"]
    effective = metrics["operating/effective_positives"]
    worth = f"the {positive} validation images are worth {math.floor(effective)} independent ones"
    if kept >= wanted:
        return (
            f"The threshold keeps a sensitivity of {percent(sensitivity)} in {percent(wanted)} of repetitions: {worth}."
        )
    return (
        f"sensitivity_confidence={wanted:g} cannot be had: {worth}, and it takes "
        f"{needed_number(sensitivity, wanted)}. The threshold finds them all, which keeps {percent(sensitivity)} in "
        f"{percent(kept)} of repetitions."
    )


def with_interval(metrics: Mapping[str, Any], key: str, as_percent: bool = True, short: bool = False) -> str:
    """`92.6 % (86.9 to 95.9 %)`, in short `92.6 (86.9-95.9)`; the precision of a class may be `never predicted`."""
    if key.endswith("/precision") and metrics.get(key.replace("precision", "predicted")) == 0:
        return "never predicted"
    value, low, high = (
        math.nan if metrics.get(k) is None else float(metrics[k]) for k in (key, f"{key}/lower", f"{key}/upper")
    )
    if value != value:
        return "-"
    if not short:
        return f"{number(value, as_percent)} ({interval(low, high, as_percent)})"
    plain = number(value, as_percent).removesuffix(" %")
    ends = interval(low, high, as_percent).removesuffix(" %")
    ends = ends.replace(" to ", "-") if low >= 0 else ends
    return plain if low != low else f"{plain} ({ends})"
