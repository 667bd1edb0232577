"""The section of a tested configuration: by slice and by patient, what was chosen on validation, the mistakes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from frostline.config.schema import RunConfig
from frostline.data.cache import load_image
from frostline.data.dataset import reading_of
from frostline.errors import FrostlineError
from frostline.evaluation.catalog import named_metrics
from frostline.evaluation.operating_point import Tuned, evaluate_tuned, tune
from frostline.plots.run import plot_curves
from frostline.report.card_parts import card_parts
from frostline.report.configurations import Configuration, Shown, mistakes, right_ones
from frostline.report.images import jpeg_source
from frostline.report.matrix import matrix_of
from frostline.report.referral import referral_table, risk_drawing
from frostline.report.subgroup_tables import subgroup_tables
from frostline.report.svg import svg
from frostline.report.view import Drawing, ShownView, Table, TestedSection
from frostline.runs.finished import FinishedRun
from frostline.runs.folder import RunFolder
from frostline.runs.patients import all_by_patient, by_unit, mixed_in_words, score_in_words, score_of, unit
from frostline.runs.results import decision_figure, operating_figure
from frostline.runs.summary import guarantee_in_words, interval_of
from frostline.text import interval, number, percent

THUMBNAIL = 160  # pixels
FindImage = Callable[[Shown], str | None]


def tested_section(c: Configuration, find_image: FindImage | None, find_heat: FindImage | None) -> TestedSection:
    """A tested configuration; `find_image` gives a mistake's image for `src`, None leaves out names and images.

    `find_heat` gives it with a heat map.
    """
    run, o = c.runs[0], c.options
    test, tuned = run.predictions["test"], tuned_of(run)
    prevalence = run.metrics.get("operating/prevalence")
    at = evaluate_tuned("test", test.probabilities, test.targets, test.task, test.groups, tuned, prevalence)
    point = {k: v for k, v in at.items() if "/operating/" in k}
    figure = operating_figure(test, point, tuned.temperature, f"{len(test)} test images, seed {run.metrics['seed']}")
    benefit = decision_figure(test, prevalence, f"Decision curve, seed {run.metrics['seed']}")
    mean = ", mean over seeds" if c.seeds > 1 else ""
    return TestedSection(
        label=c.label,
        summary=f"{c.trainings}, {len(c.examples)} images; {o['optimizer.name']} {o['optimizer.lr']:.2g}, batch "
        f"{o['data.batch_size']}. Test images with one of their group in training: {c.leaks}.",
        metrics=metric_table(c),
        matrices=(
            matrix_of(c.matrix, c.task.classes, f"slices{mean}"),
            matrix_of(c.patient_matrix, c.task.classes, f"{unit(c.patients_known)}s{mean}"),
        ),
        operating=None if figure is None else Drawing(svg(figure, "ROC, precision and recall, calibration")),
        chosen=(
            _chosen(c, "By slice", tuned, at, run.metrics.get("test/loss")),
            _chosen(c, by_unit(c.patients_known).capitalize(), *patients_at(run), run.metrics.get("test/patient/loss")),
            _kept(c),
        ),
        decision=None if benefit is None else Drawing(svg(benefit, "net benefit by threshold probability")),
        referral=referral_table(run),
        risk=risk_drawing(run),
        subgroups=subgroup_tables(c),
        mistakes=tuple(_shown(m, find_image, find_heat) for m in mistakes(c)),
        curves=_curves(c),
        card=card_parts(run),
        right=tuple(_shown(m, find_image, find_heat) for m in right_ones(c)),
    )


def metric_table(c: Configuration) -> Table:
    """Every metric of the test set by slice and by patient, of several trainings each one's too."""
    rows, reasons = [], dict[str, None]()
    for key, label, metric, i in named_metrics(c.task, "page"):
        levels = c.metrics[key], c.patient_metrics[key]
        precision = key.endswith("/precision")
        nevers = [
            [precision and not (p.predicted == i).any() for p in predicted] for predicted in (c.predicted, c.patients)
        ]
        cells = [label]
        for values, never in zip(levels, nevers, strict=True):
            mean = "never predicted" if all(never) else number(values.mean, metric.percent)
            if any(never) and not all(never):
                mean += f" (0 where never predicted, by {sum(never)} of {len(never)})"
            cells += [mean, interval(*values.interval, metric.percent)]
            if values.why and not metric.no_interval:
                reasons[values.why] = None
        if c.seeds > 1:
            for values, never in zip(levels, nevers, strict=True):
                shown = [number(v, metric.percent).removesuffix(" %") for v in values.values]
                cells.append(", ".join("never" if n else of for n, of in zip(never, shown, strict=True)))
        rows.append(tuple(cells))
    first, what = c.patients[0], f"by {unit(c.patients_known)}"
    caption = (
        f"{by_unit(c.patients_known).capitalize()}: {len(first)} {unit(c.patients_known)}s, "
        f"{score_in_words(c.patient_score, c.task)}. {mixed_in_words(first.mixed, c.patients_known, c.task)}"
    )
    words = {"class": "a class", "positive": c.task.positive}
    listed = dict.fromkeys(metric for _, _, metric, _ in named_metrics(c.task, "page"))
    meanings = tuple(f"{m.label.format(**words)}: {m.meaning}" for m in listed if m.meaning)
    head = ("", "by slice", "95 % interval", what, "95 % interval")
    of_seeds = ("seeds by slice", f"seeds {what}") if c.seeds > 1 else ()
    return Table(
        (*head, *of_seeds),
        tuple(rows),
        caption.strip(),
        notes=(
            ("What these words mean", meanings),
            *((("Why some have no interval", tuple(reasons)),) if reasons else ()),
        ),
    )


def _chosen(c: Configuration, what: str, tuned: Tuned, at: Mapping[str, float], loss: float | None) -> str:
    """What threshold and temperature, chosen on validation, do on test; `at` are the metrics `test/...` of them.

    `loss` is that of the test set without the temperature.
    """

    def of(name: str) -> str:
        key = f"test/{name}"
        return f"{percent(at[key])} ({interval_of(at, key)})"

    which = f"seed {c.runs[0].metrics['seed']}" + (", the first fold" if c.folds > 1 else "")
    over = number(at["test/scaled/overconfidence"], True)
    words = f"{what} ({which}), temperature {tuned.temperature:.2f}: overconfidence {over} after scaling"
    if tuned.temperature == 1:
        words = (
            f"{what} ({which}), no temperature, for none helped on validation images left out: overconfidence {over}"
        )
    elif loss is not None and at["test/scaled/loss"] > loss:
        words += f", and a worse log loss on test ({loss:.3f} before, {at['test/scaled/loss']:.3f} after)"
    if c.task.positive is None or tuned.threshold != tuned.threshold:
        return f"{words}."
    return (
        f"{words}; {c.task.positive} from a probability of {tuned.threshold:.3f}, chosen on validation for a "
        f"sensitivity of {100 * tuned.sensitivity:.0f} %: sensitivity on test {of('operating/sensitivity')}, "
        f"specificity {of('operating/specificity')}; at a prevalence of {percent(at['test/operating/prevalence'])} PPV "
        f"{of('operating/ppv')}, NPV {of('operating/npv')}."
    )


def _kept(c: Configuration) -> str:
    """What the threshold by slice promises of new images, and at which prevalence predictive values are."""
    if c.task.positive is None:
        return ""
    given = c.runs[0].metrics.get("operating/prevalence") is not None
    where = (
        "The prevalence is that of the option."
        if given
        else "The prevalence is that of these images (prevalence=SHARE gives another)."
    )
    kept = guarantee_in_words(c.runs[0].metrics, c.task.positive)
    return f"{where} {kept or 'Met on validation, such a sensitivity is kept on new images in half of cases at most.'}"


def tuned_of(run: FinishedRun) -> Tuned:
    """What the run chose on validation."""
    keys = "operating/wanted_sensitivity", "operating/threshold", "temperature"
    chosen = (run.metrics.get(key) for key in keys)
    return Tuned(*(math.nan if value is None else float(value) for value in chosen))


def patients_at(run: FinishedRun) -> tuple[Tuned, dict[str, float]]:
    """What is chosen on the patients of validation, and what it does to those of test, `test/...`.

    Computed from predictions: runs of before did not choose by patient.
    """
    patients = all_by_patient(run.predictions, score_of(run.metrics))
    val, test = patients["val"], patients["test"]
    wanted = run.metrics.get("operating/wanted_sensitivity") or RunConfig.sensitivity
    confidence, prevalence = (run.metrics.get(f"operating/{key}") for key in ("wanted_confidence", "prevalence"))
    tuned = tune(val.probabilities, val.targets, run.task, float(wanted), confidence=confidence)
    return tuned, evaluate_tuned("test", test.probabilities, test.targets, run.task, test.groups, tuned, prevalence)


def _curves(c: Configuration) -> Drawing | None:
    """Loss and accuracy by epoch of a configuration that was trained once."""
    run = c.runs[0]
    history = RunFolder(run.folder).read_history() if len(c.runs) == 1 else []
    if not history:
        return None
    low, high = (run.metrics.get(f"val/acc/{end}") for end in ("lower", "upper"))
    ends = (math.nan, math.nan) if low is None or high is None else (float(low), float(high))
    return Drawing(svg(plot_curves(history, int(run.metrics["best_epoch"]) - 1, ends), "loss and accuracy by epoch"))


def _shown(m: Shown, find_image: FindImage | None, find_heat: FindImage | None) -> ShownView:
    by = f" by {m.seeds} of {m.of} networks" if m.of > 1 else ""
    name = m.example.sha256[:12] if find_image is None else m.example.path
    image = None if find_image is None else find_image(m)
    heat = None if find_heat is None else find_heat(m)
    return ShownView(m.example.label, m.predicted, f"{percent(m.confidence)}{by}, loss {m.loss:.2f}", name, image, heat)


def read_thumbnail(shown: Shown, config: RunConfig, root: Path) -> str | None:
    """The slice as a small JPEG for `src`; None when the data set is not where it was."""
    try:
        image = load_image(root / shown.example.path, THUMBNAIL, reading_of(config.data))
    except (OSError, FrostlineError):
        return None
    return jpeg_source(image.squeeze(0).numpy(), quality=80)
