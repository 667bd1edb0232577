"""The sections of a page, out of studies, tested configurations, leak gaps and claim cards."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from frostline.config.schema import RunConfig
from frostline.data.cache import load_image
from frostline.data.dataset import reading_of
from frostline.errors import FrostlineError
from frostline.evaluation.catalog import named_metrics
from frostline.evaluation.depth_curve import Curve
from frostline.evaluation.operating_point import Tuned, evaluate_tuned
from frostline.plots.study import plot_finding, plot_history, plot_importances, plot_parallel
from frostline.report.claim_card import ClaimCard
from frostline.report.collect import Collected, StudyData, TrialData
from frostline.report.configurations import Configuration, LeakGap, Mistake, gap_rows, mistakes
from frostline.report.images import jpeg_source
from frostline.report.reproduction import Claim
from frostline.report.subgroup_tables import subgroup_tables
from frostline.report.svg import svg
from frostline.report.view import (
    CardSection,
    Cell,
    ClaimCell,
    ClaimTable,
    Drawing,
    Matrix,
    MistakeView,
    StudySection,
    Table,
    TestedSection,
)
from frostline.runs.finished import FinishedRun
from frostline.runs.results import decision_figure, operating_figure
from frostline.runs.summary import guarantee_in_words
from frostline.search.monitor import format_value
from frostline.search.outcome import stage_ends
from frostline.text import interval, number, percent

THUMBNAIL = 160  # pixels
FindImage = Callable[[Mistake], str | None]


def study_section(study: StudyData, curve: Curve | None, collected: Collected) -> StudySection:
    """A study with its drawings and tables."""
    states = ", ".join(f"{n} {state}" for state, n in Counter(t.state for t in study.trials).most_common())
    uses = collected.holdout_uses(collected.run_of(t) for t in study.trials)
    ranked = sorted(study.trials, key=lambda t: (t.state != "complete", -(t.value or 0), t.number))
    return StudySection(
        name=study.name,
        summary=f"Searches {', '.join(study.searched) or 'nothing'}, maximising {study.objective}: {states}. "
        f"Its test set was {uses}.",
        drawings=tuple(_study_drawings(study, curve)),
        depths=None if curve is None else _depths(study, curve),
        trials=Table(
            ("trial", study.objective, "state", *study.searched, "epochs", "reason"),
            tuple(_trial(study, t) for t in ranked),
            sortable=True,
            headed=False,
        ),
    )


def _trial(study: StudyData, t: TrialData) -> tuple[str, ...]:
    value = "-" if t.value is None else f"{t.value:.3f}"
    settings = (format_value(t.settings.get(name, "")) for name in study.searched)
    return (str(t.number), value, t.state, *settings, str(len(t.history)), t.reason)


def _study_drawings(study: StudyData, curve: Curve | None) -> list[Drawing]:
    drawings = []
    if not study.grid and study.points:
        drawings.append(Drawing(svg(plot_history(study.points, study.objective), "value of every trial")))
        if study.importances:
            figure = plot_importances(study.importances, study.objective, len(study.complete))
            drawings.append(Drawing(svg(figure, "importance of every option")))
    if not study.grid and len({t.value for t in study.complete}) > 1 and len(study.searched) > 1:
        rows, values = [t.settings for t in study.complete], [float(t.value or 0) for t in study.complete]
        figure = plot_parallel(study.searched, rows, values, study.objective)
        drawings.append(Drawing(svg(figure, "settings of every trial")))
    if curve is not None:
        figure = plot_finding(curve, stage_ends(study.fixed), study.objective)
        drawings.append(Drawing(svg(figure, "validation score by number of frozen layers")))
    return drawings


def _depths(study: StudyData, curve: Curve) -> Table:
    rows = []
    for d in curve.depths:
        deficit, verdict = ("", ""), "highest mean"
        if d is not curve.highest:
            deficit = percent(d.deficit), interval(d.deficit_lower, d.deficit_upper)
            lower = "lower" if curve.seeds > 1 else "lower with this one seed"
            verdict = lower if d.clearly_lower else "not shown to be worse"
        rows.append((str(d.freeze), str(len(d.values)), percent(d.mean), interval(d.lower, d.upper), *deficit, verdict))
    return Table(
        ("frozen layers", "seeds", "mean", "interval", "below the highest by", "interval", ""),
        tuple(rows),
        f"Frozen layers: {study.objective} on {curve.images} validation images in {curve.groups} groups. Differences "
        "are to the highest mean, with intervals for all pairs of depths at once.",
        chosen=curve.depths.index(curve.highest),
        headed=False,
    )


def tested_section(c: Configuration, find_image: FindImage | None) -> TestedSection:
    """A tested configuration; `find_image` gives a mistake's image for `src`, None leaves out names and images."""
    run, o = c.runs[0], c.options
    test, tuned = run.predictions["test"], tuned_of(run)
    prevalence = run.metrics.get("operating/prevalence")
    at = evaluate_tuned("test", test.probabilities, test.targets, test.task, test.groups, tuned, prevalence)
    point = {k: v for k, v in at.items() if "/operating/" in k}
    figure = operating_figure(test, point, tuned.temperature, f"{len(test)} test images, seed {run.metrics['seed']}")
    benefit = decision_figure(test, prevalence, f"Decision curve, seed {run.metrics['seed']}")
    seeds = f"{c.seeds} seeds" if c.seeds > 1 else "one seed"
    return TestedSection(
        label=c.label,
        summary=f"{seeds}, {len(c.examples)} images; {o['optimizer.name']} {o['optimizer.lr']:.2g}, batch "
        f"{o['data.batch_size']}. Test images with one of their group in training: {c.leaks}.",
        metrics=_metrics(c),
        matrix=_matrix(c),
        operating=None if figure is None else Drawing(svg(figure, "ROC, precision and recall, calibration")),
        operating_sentence="" if figure is None else _operating(c, tuned, point),
        temperature_sentence=f"Temperature {tuned.temperature:.2f}: overconfidence "
        f"{number(at['test/scaled/overconfidence'], True)} after scaling.",
        decision=None if benefit is None else Drawing(svg(benefit, "net benefit by threshold probability")),
        subgroups=subgroup_tables(c),
        mistakes=tuple(_mistake(m, find_image) for m in mistakes(c)),
    )


def _metrics(c: Configuration) -> Table:
    rows = []
    for key, label, metric, _ in named_metrics(c.task, "page"):
        values = c.metrics[key]
        seeds = ", ".join(number(v, metric.percent).removesuffix(" %") for v in values.values)
        rows.append((label, number(values.mean, metric.percent), interval(*values.interval, metric.percent), seeds))
    return Table(("", "mean", "95 % interval", "seeds"), tuple(rows))


def _matrix(c: Configuration) -> Matrix:
    shares = c.matrix / np.maximum(c.matrix.sum(1, keepdims=True), 1)
    rows = (
        tuple(Cell(_count(n), round(100 * share)) for n, share in zip(counts, of_row, strict=True))
        for counts, of_row in zip(c.matrix.tolist(), shares.tolist(), strict=True)
    )
    mean = ", mean over seeds" if c.seeds > 1 else ""
    return Matrix(f"Confusion matrix{mean}: rows true, columns predicted.", c.task.classes, tuple(rows))


def _count(value: float) -> str:
    return f"{value:.0f}" if abs(value - round(value)) < 0.05 else f"{value:.1f}"


def _operating(c: Configuration, tuned: Tuned, point: dict[str, float]) -> str:
    def of(name: str) -> str:
        key = f"test/operating/{name}"
        return f"{percent(point[key])} ({interval(point[f'{key}/lower'], point[f'{key}/upper'])})"

    which = f"seed {c.runs[0].metrics['seed']}" + (", the first fold" if c.folds > 1 else "")
    at = f"a prevalence of {percent(point['test/operating/prevalence'])}"
    given = c.runs[0].metrics.get("operating/prevalence") is not None
    where = f"{at}, as prevalence says" if given else f"{at}, that of these images (prevalence=SHARE gives another)"
    guarantee = guarantee_in_words(c.runs[0].metrics, str(c.task.positive))
    return (
        f"{str(c.task.positive).capitalize()} from a probability of {tuned.threshold:.3f}, chosen on validation for a "
        f"sensitivity of {100 * tuned.sensitivity:.0f} % ({which}): sensitivity on test {of('sensitivity')}, "
        f"specificity {of('specificity')}. At {where}: PPV {of('ppv')}, NPV {of('npv')}. "
        + (guarantee or "It was met on validation; on new images four or five of ten such thresholds keep it.")
    )


def tuned_of(run: FinishedRun) -> Tuned:
    """What the run chose on validation."""
    keys = "operating/wanted_sensitivity", "operating/threshold", "temperature"
    chosen = (run.metrics.get(key) for key in keys)
    return Tuned(*(math.nan if value is None else float(value) for value in chosen))


def _mistake(m: Mistake, find_image: FindImage | None) -> MistakeView:
    by = f" by {m.seeds} of {m.of} seeds" if m.of > 1 else ""
    name = m.example.sha256[:12] if find_image is None else m.example.path
    image = None if find_image is None else find_image(m)
    return MistakeView(m.example.label, m.predicted, f"{percent(m.confidence)}{by}", name, image)


def read_thumbnail(mistake: Mistake, config: RunConfig, root: Path) -> str | None:
    """The slice as a small JPEG for `src`; None when the data set is not where it was."""
    try:
        image = load_image(root / mistake.example.path, THUMBNAIL, reading_of(config.data))
    except (OSError, FrostlineError):
        return None
    return jpeg_source(image.squeeze(0).numpy(), quality=80)


def gap_table(gap: LeakGap) -> Table:
    """A leak gap, a row a metric."""
    o, by_image, by_group = gap.by_group.options, gap.by_image, gap.by_group
    caption = (
        f"{o['model.name']}, freeze {o['freeze']}, {o['model.weights'] or 'random'} weights: {by_image.leaks} of "
        f"{len(by_image.examples)} test images have one of their group in training by image, {by_group.leaks} of "
        f"{len(by_group.examples)} by group."
    )
    return Table(("", "by image", "by group", "gap, points", "95 % interval"), tuple(gap_rows(gap)), caption)


def card_section(card: ClaimCard) -> CardSection:
    """A published report beside the runs."""
    report = card.report
    seeds = f"{report.test['seeds']} seeds" if report.test["seeds"] > 1 else "one seed"
    conditions = ", ".join(f"{k.rsplit('.', 1)[-1].replace('_', ' ')} {v}" for k, v in report.conditions.items())
    rows = tuple((row[0].what, row[0].report, tuple(ClaimCell(c.found, c.verdict) for c in row)) for row in card.rows)
    search = tuple((c.what, c.report, (ClaimCell(c.found, _verdict(c)),)) for c in card.search)
    return CardSection(
        title=report.title,
        conditions=f"{report.model}, {conditions}; {report.test['images']} test images of {report.data}, {seeds}.",
        metrics=ClaimTable(("", "report", *card.columns), rows) if card.columns else None,
        untested=f"No run of {report.model} on {report.data} has been tested: its metrics are not testable here.",
        search=ClaimTable(("", "report", "here"), search),
    )


def _verdict(claim: Claim) -> str:
    return f"{claim.verdict}: {claim.why}" if claim.why else claim.verdict


def split_common(rows: Sequence[dict[str, str]]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """What is the same in all of several rows, and the rows without it."""
    if len(rows) < 2:
        return {}, list(rows)
    common = {k: v for k, v in rows[0].items() if all(row[k] == v for row in rows)}
    return common, [{k: v for k, v in row.items() if k not in common} for row in rows]
