"""What a run says of itself on the screen, in words a person understands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from frostline.config.schema import CLASSES, RunConfig
from frostline.data.dataset import SplitData
from frostline.data.splits import SPLITS
from frostline.models.classifier import BuiltModel
from frostline.terminal import render_table
from frostline.text import NAMES, duration


def describe_run(config: RunConfig, run_dir: Path) -> str:
    """The first lines: what this is and where it goes."""
    lines = [f"{config.preset}" if config.preset else "", f"folder  {run_dir}"]
    return "\n".join(line for line in lines if line)


def describe_data(config: RunConfig, data: SplitData) -> str:
    """Images of each split and class, and what leaks."""
    lines = []
    for split in SPLITS:
        count = Counter(e.label for e in data.of(split))
        classes = ", ".join(f"{count[i]} {name}" for i, name in enumerate(CLASSES))
        groups = len({e.group for e in data.of(split)})
        lines.append(f"        {NAMES[split]:<10} {count.total():>5} images in {groups} groups ({classes})")
    lines[0] = f"data    {lines[0].strip()}"
    if data.unreadable:
        lines.append(f"        left out: {len(data.unreadable)} files that cannot be read")
    leaks, tests = data.leaks["test"], len(data.of("test"))
    if leaks or config.data.split == "random":
        lines.append(
            f"warning: data.split={config.data.split}: {leaks} of {tests} test images ({leaks / max(tests, 1):.0%}) "
            "have a near copy in training, so the result flatters; data.split=grouped keeps them apart"
        )
    return "\n".join(lines)


def describe_model(config: RunConfig, model: BuiltModel, hardware: str) -> str:
    """What is trained, from what, and how."""
    last = f", up to {model.table[config.freeze - 1].name}" if config.freeze else ""
    unit = {"layer": "layers", "weighted": "weighted layers", "stage": "stages"}[config.freeze_unit]
    o, d = config.optimizer, config.data
    return "\n".join(
        (
            f"model   {config.model.name}, weights: {model.weights}",
            f"        frozen: the first {config.freeze} of {len(model.table)} {unit}{last}; "
            f"{model.frozen_parameters:.1%} of the parameters, {model.frozen_multiply_adds:.1%} of the multiply-adds",
            f"train   {o.name} {o.lr:g}, batch {d.batch_size}, {d.image_size} px, {config.trainer.max_epochs} epochs, "
            f"seed {config.seed}; {hardware}",
        )
    )


def result_table(metrics: Mapping[str, Any], run_dir: Path, looks: int = 0) -> str:
    """The result as a table and a sentence: validation, which chose the epoch, and test, when it was looked at.

    `looks` is how often runs have evaluated this test set.
    """
    stages = [s for s in ("val", "test") if f"{s}/acc" in metrics]
    table = Table(box=SIMPLE, title=None, pad_edge=False)
    table.add_column("")
    for stage in stages:
        units = f"{metrics[f'{stage}/images']} images, {metrics.get(f'{stage}/groups', '?')} groups"
        table.add_column(f"{NAMES[stage]} ({units})", justify="right")

    def row(name: str, key: str) -> None:
        table.add_row(name, *(percent_with_interval(metrics, f"{s}/{key}") for s in stages))

    row("accuracy", "acc")
    row("balanced accuracy", "balanced_acc")
    row("precision, weighted", "precision_weighted")
    row("recall, weighted", "recall_weighted")
    row("F1, weighted", "f1_weighted")
    row("malignant: sensitivity", "malignant/sensitivity")
    row("malignant: specificity", "malignant/specificity")
    for name in CLASSES:
        row(f"{name}: precision", f"{name}/precision")
        support = " and ".join(dict.fromkeys(str(metrics[f"{s}/{name}/support"]) for s in stages))
        row(f"{name}: recall, of {support}", f"{name}/recall")
    row("AUROC, mean of one against rest", "auroc_macro")
    row("calibration error", "calibration_error")
    row("calibration error, scaled by temperature", "scaled/calibration_error")
    if metrics.get("operating/threshold") is not None:
        at = f"{metrics['operating/threshold']:.3f}"
        row(f"malignant from {at}: sensitivity", "operating/sensitivity")
        row(f"malignant from {at}: specificity", "operating/specificity")
    return f"{render_table(table)}\n{_sentence(metrics, stages[-1], looks)}\nfolder  {run_dir}"


def _sentence(metrics: Mapping[str, Any], stage: str, looks: int) -> str:
    right, images = metrics[f"{stage}/correct"], metrics[f"{stage}/images"]
    lower, upper = metrics[f"{stage}/acc/lower"], metrics[f"{stage}/acc/upper"]
    support = metrics[f"{stage}/malignant/support"]
    found = round((metrics[f"{stage}/malignant/recall"] or 0) * support)
    sentence = (
        f"Epoch {metrics['best_epoch']} of {metrics['epochs']}, the best on validation, gets {right} of {images} "
        f"{NAMES[stage]} images right\n({right / images:.1%}, 95 % interval {lower:.1%} to {upper:.1%}) and finds "
        f"{found} of {support} malignant ones, in {duration(metrics['seconds'])} of computing.\n"
        "In brackets 95 % intervals, by groups of images that belong together. A figure for research, no diagnosis."
    )
    dead = [n for n in CLASSES if metrics[f"{stage}/{n}/support"] and metrics.get(f"{stage}/{n}/predicted") == 0]
    if dead:
        sentence += f"\nNever predicted: {', '.join(dead)}; data.balance=class_weights or sampler may help."
    if stage == "val":
        sentence += " The test set was left alone."
    elif looks > 1:
        sentence += (
            f"\nRuns in this logs folder have looked at this test set {looks} times: the more, the less it proves. "
            "Compare on validation (test=false)."
        )
    return sentence


def percent_with_interval(metrics: Mapping[str, Any], key: str, short: bool = False) -> str:
    """`92.6% (86.9% to 95.9%)`, or in short `92.6 (86.9-95.9)`."""
    value, lower, upper = (_percent(metrics, k) for k in (key, f"{key}/lower", f"{key}/upper"))
    if key.endswith("/precision") and metrics.get(key.replace("precision", "predicted")) == 0:
        return "never predicted"
    if value == "-":
        return value
    if short:
        return f"{value} ({lower}-{upper})".replace("%", "") if lower != "-" else value.rstrip("%")
    return f"{value} ({'no interval' if lower == '-' else f'{lower} to {upper}'})"


def _percent(metrics: Mapping[str, Any], key: str) -> str:
    value = metrics.get(key)
    return "-" if value is None or value != value else f"{value:.1%}"
