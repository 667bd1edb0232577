"""`frostline evaluate`: the evidence for predictions that came from elsewhere, on the screen and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.table import Table as ScreenTable

from frostline.errors import FrostlineError
from frostline.evaluation.catalog import named_metrics
from frostline.evaluation.comparison import verdict
from frostline.evaluation.metrics import confusion_matrix, evaluate
from frostline.files import write_text
from frostline.report.compare import compare_patients, compare_runs, compare_text, names_of, patient_verdict
from frostline.report.matrix import matrix_of
from frostline.report.rendering import render_template
from frostline.report.svg import svg
from frostline.report.view import Drawing, Matrix, Table
from frostline.runs.finished import FinishedRun, metrics_of
from frostline.runs.outside import ALONE, together
from frostline.runs.patients import by_patient, by_unit, unit
from frostline.runs.results import decision_figure, operating_figure
from frostline.runs.summary import result_rows, with_interval
from frostline.terminal import render_table
from frostline.text import interval, percent

MISSING = (
    "What takes validation predictions (a threshold, a temperature) or training images (leaks, memory) is not here: it "
    "takes a run of frostline."
)


@dataclass(frozen=True)
class ModelView:
    """A model's part of the page."""

    name: str
    summary: str
    metrics: Table
    matrices: tuple[Matrix, ...]
    drawings: tuple[Drawing, ...]


@dataclass(frozen=True)
class OutsideView:
    """All that the page shows."""

    title: str
    made: str
    notes: tuple[str, ...]
    models: tuple[ModelView, ...]
    side_by_side: tuple[Table, ...]
    verdicts: tuple[str, ...]
    """What can be said of every pair, by image and by patient."""


def evaluate_text(runs: Sequence[FinishedRun]) -> str:
    """All metrics of one model, or several side by side with a verdict of every pair; by image and by patient.

    Raises `FrostlineError` for models of other images, classes or patients.
    """
    together(runs)
    notes = [] if runs[0].metrics["patients_known"] else [f"\n{ALONE}"]
    if len(runs) > 1:
        return "\n".join([compare_text(runs, compare_runs(runs, "test"), "test"), *notes])
    run = runs[0]
    values = flat_metrics(run)
    known = run.metrics["patients_known"]
    stages = ["test", "test/patient"] if known else ["test"]
    table = ScreenTable(box=SIMPLE, pad_edge=False)
    heads = [
        f"{values['test/images']} images,\n{values['test/groups']} groups",
        f"{values.get('test/patient/images')} patients",
    ]
    for column in ("percent", *heads[: len(stages)]):
        table.add_column(column, justify="right" if column != "percent" else "left")
    for cells in result_rows(values, run.task, stages):
        table.add_row(*cells)
    right, images = values["test/correct"], values["test/images"]
    ends = interval(values["test/acc/lower"], values["test/acc/upper"])
    brackets = "In brackets 95 % intervals, by patient." if known else "In brackets 95 % intervals."
    sentence = f"{run.folder} gets {right} of {images} images right ({percent(right / images)}, {ends}).\n{brackets}"
    return "\n".join([render_table(table), sentence, "A figure for research, no diagnosis.", *notes])


def flat_metrics(run: FinishedRun) -> dict[str, Any]:
    """All metrics `test/...`, and by patient `test/patient/...` where patients are given."""
    values = metrics_of(run, "test")
    if run.metrics["patients_known"]:
        p = by_patient(run.predictions["test"])
        values |= evaluate("test/patient", p.probabilities, p.targets, p.task, p.groups)
    return values


def write_page(runs: Sequence[FinishedRun], file: Path) -> None:
    """Write the page: self-contained, without the names of images. Raises `FrostlineError` where it cannot be."""
    if file.suffix.lower() not in (".html", ".htm"):
        raise FrostlineError(f"--page {file}: must end in .html")
    tables, verdicts = _side_by_side(runs) if len(runs) > 1 else ((), ())
    notes = (MISSING,) if runs[0].metrics["patients_known"] else (ALONE, MISSING)
    models = tuple(
        _model(run, letter if len(runs) > 1 else "") for run, letter in zip(runs, names_of(runs), strict=True)
    )
    title = " and ".join(str(run.folder) for run in runs) if len(runs) < 3 else f"{len(runs)} models"
    made = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    try:
        write_text(file, render_template("outside.html", OutsideView(title, made, notes, models, tables, verdicts)))
    except OSError as error:
        raise FrostlineError(f"--page {file}: cannot be written ({error.strerror})") from None


def _side_by_side(runs: Sequence[FinishedRun]) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    names, known = names_of(runs), bool(runs[0].metrics["patients_known"])
    columns = named_metrics(runs[0].task, "compare")
    values = [flat_metrics(run) for run in runs]
    tables = tuple(
        Table(
            (caption, *(f"{name}  {run.folder}" for name, run in zip(names, runs, strict=True))),
            tuple(
                (m.label, *(with_interval(v, f"{stage}/{m.key}", m.metric.percent, short=True) for v in values))
                for m in columns
            ),
        )
        for stage, caption in (("test", "by image"), ("test/patient", "by patient"))[: 1 + known]
    )
    images = len(runs[0].predictions["test"])
    words = [f"{names[p.first]} and {names[p.second]}: {verdict(p, names, images)}" for p in compare_runs(runs, "test")]
    if known:
        by = compare_patients(runs, "test")
        words += [
            f"{names[p.first]} and {names[p.second]}, by patient: "
            f"{patient_verdict(p, names, len(by.predicted[0]), unit(known))}"
            for p in by.pairs
        ]
    return tables, tuple(words)


def _model(run: FinishedRun, letter: str) -> ModelView:
    p, values, known = run.predictions["test"], flat_metrics(run), bool(run.metrics["patients_known"])
    stages = ("test", "test/patient") if known else ("test",)
    rows = [
        (label, *(with_interval(values, f"{stage}/{key}", metric.percent) for stage in stages))
        for key, label, metric, _ in named_metrics(run.task, "page")
    ]
    head = ("", "by image", "by patient")[: 1 + len(stages)]
    reasons = tuple(dict.fromkeys(str(v) for k, v in values.items() if k.endswith("/why") and v))
    levels = [(p, "images")] + ([(by_patient(p), "patients")] if known else [])
    figures = (
        (operating_figure(p, {}, None, f"{len(p)} images"), "ROC, precision and recall, calibration"),
        (decision_figure(p, None, f"{len(p)} images"), "net benefit by threshold probability"),
    )
    return ModelView(
        f"{letter}  {run.folder}".strip(),
        f"{len(p)} images in {values['test/groups']} {unit(known)}s" if known else f"{len(p)} images",
        Table(
            head,
            tuple(rows),
            by_unit(known).capitalize() if known else "",
            notes=(("Why some have no interval", reasons),) if reasons else (),
        ),
        tuple(
            matrix_of(confusion_matrix(of.predicted, of.targets, len(of.task)), of.task.classes, what)
            for of, what in levels
        ),
        tuple(Drawing(svg(figure, name)) for figure, name in figures if figure is not None),
    )
