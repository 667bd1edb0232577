"""The card of a trained model: what it is for and what not, on what data, how good, how sure (Mitchell et al. 2019).

Plain values out of a finished run's folder, and Markdown as Hugging Face's hub reads it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml  # type: ignore[import-untyped]  # it ships no types

from frostline.data.grouping import METHODS
from frostline.data.manifest import Example, read_manifest
from frostline.data.records import file_sha256
from frostline.data.splits import SPLITS
from frostline.runs.finished import task_of
from frostline.runs.folder import RunFolder
from frostline.runs.patients import by_unit
from frostline.runs.summary import (
    guarantee_in_words,
    interval_of,
    result_rows,
    uncertain_sentences,
    with_interval,
)
from frostline.task import Task
from frostline.text import NAMES, interval, percent

NO_DEVICE = "Not a medical device: for research alone, no diagnosis, no decision on a patient."

GUESSED = (
    "Patients were not known, but guessed by numbers and likeness: the result is one for new slices, and may be lower "
    "for new patients."
)


@dataclass(frozen=True)
class Section:
    """A heading with paragraphs, and a table below them; its first row is the head."""

    title: str
    lines: tuple[str, ...]
    table: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class ModelCard:
    """What stands in a card, in its order."""

    name: str
    metadata: Mapping[str, Any]
    """The hub's header, https://huggingface.co/docs/hub/model-cards."""
    sections: tuple[Section, ...]

    def markdown(self) -> str:
        """The card as a file."""
        parts = [
            f"---\n{yaml.safe_dump(dict(self.metadata), sort_keys=False, allow_unicode=True)}---",
            f"# {self.name}",
        ]
        for section in self.sections:
            parts += [f"## {section.title}", *section.lines]
            if section.table:
                head, *rows = section.table
                parts.append("\n".join([_row(head), "|" + "---|" * len(head), *map(_row, rows)]))
        return "\n\n".join(parts) + "\n"


def model_card(folder: RunFolder, metrics: Mapping[str, Any], uses: int) -> ModelCard:
    """The card of the finished run in `folder`, whose test set runs have evaluated `uses` times; 0 where none has.

    Raises `FrostlineError` or `OSError` where its files are gone or damaged.
    """
    options = folder.read_options()
    task = task_of(options)
    examples = read_manifest(folder.manifest, task.classes)
    unit = {"weighted": "weighted layer"}.get(metrics["freeze_unit"], metrics["freeze_unit"])
    frozen = f"the first {metrics['freeze']} {unit}s"
    name = f"{metrics['model']}, {frozen} frozen, for {', '.join(task.classes)}"
    last = "test" if "test/acc" in metrics else "val"
    sections = (
        _what(folder, options, metrics, task),
        _use(metrics),
        _data(metrics, examples, task),
        _results(metrics, task, last, uses),
        _chosen(metrics, task, last),
        _limits(metrics, task, last),
        _training(folder, options, metrics),
    )
    return ModelCard(name, _metadata(name, metrics, task, last), sections)


def _what(folder: RunFolder, options: Mapping[str, Any], m: Mapping[str, Any], task: Task) -> Section:
    sha = file_sha256(folder.best_checkpoint) if folder.best_checkpoint.is_file() else "gone"
    window = options.get("data.window_center"), options.get("data.window_width")
    shown = "a lung window" if None in window else f"a window of {window[1]:g} HU around {window[0]:g}"
    positive = "" if task.positive is None else f" {task.positive} is the class that must not be missed."
    frozen = m.get("frozen/sha256")
    kept = f", and the same before and after, SHA-256 {frozen[:16]}" if frozen else ""
    return Section(
        "What it is",
        (
            f"An image classifier of axial CT slices: a probability for each of {', '.join(task.classes)}.{positive}",
            f"Backbone {m['model']} from weights {m['weights']}. {percent(m['frozen/parameters'])} of its parameters "
            f"were frozen{kept}.",
            f"Input: a slice in grey, resized to {m['image_size']} x {m['image_size']} pixels; CT values through "
            f"{shown}, pictures as they are. The checkpoint normalises, and holds all that its use needs.",
            f"File: `{folder.best_checkpoint.name}`, SHA-256 {sha[:16]}. "
            f"Use: `frostline predict {folder.best_checkpoint.name} IMAGES`.",
        ),
    )


def _use(m: Mapping[str, Any]) -> Section:
    return Section(
        "What it is for, and what not",
        (
            NO_DEVICE,
            f"Meant for: comparing training recipes, and research on images as those of {m['data']}: same source, same "
            f"classes, same way of choosing slices.",
            "Not meant for: patients, screening, other scanners and protocols, other diseases, single slices out of "
            "their context. An image of none of its classes gets one of them all the same; `frostline predict` flags "
            "images that are unlike the training images.",
            *([] if m.get("patients_known") else [GUESSED]),
        ),
    )


def _data(m: Mapping[str, Any], examples: Sequence[Example], task: Task) -> Section:
    rows = [("split", "images", "groups", *task.classes)]
    for split in SPLITS:
        of = [e for e in examples if e.split == split]
        count = Counter(e.label for e in of)
        groups = len({e.group for e in of})
        rows.append((NAMES[split], str(len(of)), str(groups), *(str(count[name]) for name in task.classes)))
    methods = {part for e in examples for part in e.grouped_by.split("+")}
    rests = ", ".join(METHODS[name] for name in METHODS if name in methods) or "nothing: every image is one"
    fold = "" if m.get("val_fold") is None else f", fold {m['val_fold']} for validation"
    leaks = m.get("test/groups_in_train") or 0
    tests = sum(e.split == "test" for e in examples)
    leak = (
        f"{leaks} of {tests} test images have one of their group in training: the result is too high."
        if leaks
        else "No test image has one of its group in training."
    )
    return Section(
        "Data",
        (
            f"{m['data']}, {len(examples)} images; split {m['split']} (seed {m['split_seed']}{fold}). A group is a "
            f"patient as far as that is known; groups rest on: {rests}. {leak}",
            "Every image stands in `manifest.csv` with checksum, group and split.",
        ),
        tuple(rows),
    )


def _results(m: Mapping[str, Any], task: Task, last: str, uses: int) -> Section:
    stages = [s for s in ("val", "test") if f"{s}/acc" in m]
    if f"{last}/patient/acc" in m:
        stages.append(f"{last}/patient")
    unit = by_unit(m.get("patients_known"))
    heads = [NAMES[s] if "/" not in s else f"{NAMES[last]} {unit}" for s in stages]
    lines = [
        f"Percent, in brackets 95 % intervals over groups; of {NAMES[last]} {m[f'{last}/images']} images in "
        f"{m[f'{last}/groups']} groups."
    ]
    if last == "val":
        lines.append("It was not tested: these figures are of the images that chose it.")
    elif uses > 1:
        lines.append(f"This test set was evaluated {uses} times by runs that are known: the more, the less it proves.")
    return Section("Results", tuple(lines), (("", *heads), *result_rows(m, task, stages)))


def _chosen(m: Mapping[str, Any], task: Task, last: str) -> Section:
    over, scaled = (with_interval(m, f"{last}/{key}") for key in ("overconfidence", "scaled/overconfidence"))
    lines = [
        f"Temperature {m['temperature']:.2f}, chosen on validation: overconfidence on {NAMES[last]} {over} before, "
        f"{scaled} after."
        if m["temperature"] != 1
        else f"No temperature, for none helped on validation images left out; overconfidence on {NAMES[last]} {over}."
    ]
    threshold = m.get("operating/threshold")
    if threshold is not None and threshold == threshold:
        lines.append(
            f"{str(task.positive).capitalize()} from a probability of {threshold:.3f} (before the temperature), chosen "
            f"on validation for a sensitivity of {percent(m['operating/wanted_sensitivity'])}: on {NAMES[last]} "
            "sensitivity "
            f"{with_interval(m, f'{last}/operating/sensitivity')}, specificity "
            f"{with_interval(m, f'{last}/operating/specificity')}."
        )
        if kept := guarantee_in_words(m, str(task.positive)):
            lines.append(kept)
    return Section("Operating point and calibration", tuple(lines))


def _limits(m: Mapping[str, Any], task: Task, last: str) -> Section:
    low, high = (m.get(f"{last}/acc/{end}") for end in ("lower", "upper"))
    known = (
        f"What is known: on images like these its accuracy is {interval(low, high)} (95 % interval)."
        if low is not None and high is not None
        else f"What is known: {m[f'{last}/groups']} groups are too few for an interval of its accuracy."
    )
    few = [f"{name} ({percent(v)}, {interval_of(m, f'{last}/{name}/recall')})" for name, v in _found(m, task, last)]
    reasons = dict.fromkeys(str(v) for k, v in m.items() if k.startswith(f"{last}/") and k.endswith("/why") and v)
    named = [reason for reason in reasons if ":" in reason]  # the others do not say of what
    return Section(
        "Limits",
        (
            known,
            f"Found of each class: {', '.join(few)}.",
            *uncertain_sentences(m, task, last),
            *([f"Without an interval: {'; '.join(named)}."] if named else []),
            "What is not known: how it does on images of another hospital, scanner or time.",
        ),
    )


def _found(m: Mapping[str, Any], task: Task, last: str) -> Iterator[tuple[str, float]]:
    for name in task.classes:
        if (value := m.get(f"{last}/{name}/recall")) is not None:
            yield name, float(value)


def _training(folder: RunFolder, options: Mapping[str, Any], m: Mapping[str, Any]) -> Section:
    facts = folder.trained_by
    versions = ", ".join(f"{name} {version}" for name, version in facts.get("packages", {}).items())
    return Section(
        "Training",
        (
            f"{m['optimizer']} at {m['lr']:.2g}, batch {m['batch_size']}, {m['epochs']} epochs of which epoch "
            f"{m['best_epoch']} is kept, augmentation {options.get('data.augment')}, class balance "
            f"{options.get('data.balance')}, seed {m['seed']}. "
            f"All options: `{folder.config.name}`.",
            f"{facts.get('processor', '')}; {facts.get('trained_on', '')}; {versions}.",
        ),
    )


def _metadata(name: str, m: Mapping[str, Any], task: Task, last: str) -> dict[str, Any]:
    values = [
        {"type": kind, "name": f"{what} ({NAMES[last]})", "value": m[f"{last}/{key}"]}
        for kind, what, key in (
            ("accuracy", "accuracy", "acc"),
            ("recall", "balanced accuracy", "balanced_acc"),
            ("roc_auc", "AUROC, mean of the classes", "auroc_macro"),
        )
        if m.get(f"{last}/{key}") is not None
    ]
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"name": str(m["data"]), "type": "local", "split": last},
        "metrics": values,
    }
    return {
        "library_name": "frostline",
        "pipeline_tag": "image-classification",
        "tags": ["medical-imaging", "ct", "transfer-learning", "research-only", *task.classes],
        "model-index": [{"name": name, "results": [result]}],
    }


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
