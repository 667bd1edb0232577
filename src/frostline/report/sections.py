"""The sections of a page, out of studies, leak gaps and claim cards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from frostline.evaluation.depth_curve import Curve
from frostline.evaluation.power import Takes
from frostline.plots.study import plot_finding, plot_history, plot_importances
from frostline.report import interactive
from frostline.report.claim_card import ClaimCard
from frostline.report.collect import Collected, StudyData, TrialData
from frostline.report.configurations import LeakGap, gap_header, gap_leaks, gap_rows
from frostline.report.published import PublishedReport
from frostline.report.reproduction import Claim
from frostline.report.svg import svg
from frostline.report.view import CardSection, ClaimCell, ClaimTable, Drawing, StudySection, Table
from frostline.search.monitor import format_value
from frostline.search.outcome import stage_ends
from frostline.text import interval, percent


def study_section(study: StudyData, curve: Curve | None, collected: Collected) -> StudySection:
    """A study with its drawings and tables."""
    states = ", ".join(f"{n} {state}" for state, n in Counter(t.state for t in study.trials).most_common())
    uses = collected.holdout_uses(collected.run_of(t) for t in study.trials)
    ranked = sorted(study.trials, key=lambda t: (t.state != "complete", -(t.value or 0), t.number))
    return StudySection(
        name=study.name,
        summary=f"{searched_in_words(study)}, maximising {study.objective}: {states}. Its test set was {uses}.",
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
        what = "value of every trial"
        settings = {t.number: {n: format_value(t.settings.get(n, "")) for n in study.options} for t in study.trials}
        live = interactive.history(study.points, settings, study.objective)
        drawing = svg(plot_history(study.points, study.objective), what)
        drawings.append(Drawing(drawing, interactive.element(live, what)))
        if study.importances:
            figure = plot_importances(study.importances, study.objective, len(study.complete))
            drawings.append(Drawing(svg(figure, "importance of every option")))
    names = [name for name in study.options if len({str(t.settings.get(name)) for t in study.complete}) > 1]
    if not study.grid and len({t.value for t in study.complete}) > 1 and len(names) > 1:
        trials = [(t.number, t.settings, float(t.value or 0)) for t in study.complete]
        live = interactive.parallel(names, trials, study.objective)
        drawings.append(Drawing("", interactive.element(live, "settings of every trial")))
    if curve is not None:
        stages, what = stage_ends(study.fixed), "validation score by number of frozen layers"
        live = interactive.finding(curve, stages, study.objective)
        drawings.append(
            Drawing(svg(plot_finding(curve, stages, study.objective), what), interactive.element(live, what))
        )
    return drawings


def searched_in_words(study: StudyData) -> str:
    """`Searches freeze, with several seeds and folds`."""
    words = ", ".join(study.options)
    repeated = [name for name in study.searched if name not in study.options]
    kinds = dict.fromkeys("seeds" if name == "seed" else "folds" for name in repeated)
    return (f"Searches {words}" if words else "Trains the same settings") + (
        f", with several {' and '.join(kinds)}" if kinds else ""
    )


def _depths(study: StudyData, curve: Curve) -> Table:
    rows, takes = [], curve.takes()
    for d in curve.depths:
        shown = {"no worse": "shown no worse", "worse": "shown worse", "open": "open"}[d.verdict]
        verdict = f"highest mean; {shown}" if d is curve.highest else shown
        behind = interval(*d.behind) if d.behind[0] == d.behind[0] else "-"
        cells = str(d.freeze), str(len(d.values)), percent(d.mean), interval(*d.interval), behind, verdict
        rows.append((*cells, _taken(takes.get(d.freeze))))
    return Table(
        ("frozen layers", "seeds", "mean", "interval", "behind the best by", "", "to settle it"),
        tuple(rows),
        f"Frozen layers: {study.objective} on {curve.images} validation images in {curve.groups} groups. How far "
        "behind the best, whichever that is: at least and at most, each for all depths together in 95 % of studies "
        "(that it is behind may be shown without an amount). No "
        f"worse: at most {100 * curve.margin:g} points behind, which was set before. To settle it: with 80 % "
        "power, if a depth is as far behind as it looks.",
        chosen=curve.depths.index(curve.highest),
        headed=False,
    )


def _taken(takes: Takes | None) -> str:
    if takes is None:
        return ""
    words = [] if takes.groups is None else [f"{takes.groups:,} groups"]
    words += [] if takes.seeds is None else [f"{takes.seeds} seeds"]
    return " or ".join(words) or "more groups and more seeds"


def gap_table(gap: LeakGap) -> Table:
    """A leak gap, a row a metric."""
    o = gap.by_group.options
    caption = f"{o['model.name']}, freeze {o['freeze']}, {o['model.weights'] or 'random'} weights. {gap_leaks(gap)}"
    return Table(gap_header(gap), tuple(gap_rows(gap)), caption)


def card_section(card: ClaimCard) -> CardSection:
    """A published report beside the runs."""
    report = card.report
    seeds = f"{report.test['seeds']} seeds" if report.test["seeds"] > 1 else "one seed"
    conditions = ", ".join(f"{k.rsplit('.', 1)[-1].replace('_', ' ')} {v}" for k, v in report.conditions.items())
    rows = tuple((row[0].what, row[0].report, tuple(map(_cell, row))) for row in card.rows)
    search = tuple((c.what, c.report, (_cell(c),)) for c in card.search)
    return CardSection(
        title=report.title,
        conditions=f"{report.model}, {conditions}; {report.test['images']} test images of {report.data}, {seeds}.",
        judged=_judged(report),
        metrics=ClaimTable(("", "report", *card.columns), rows) if card.columns else None,
        untested=f"No run of {report.model} on {report.data} has been tested: its metrics are not testable here.",
        search=ClaimTable(("", "report", "here"), search),
    )


def _cell(claim: Claim) -> ClaimCell:
    return ClaimCell(claim.found, claim.verdict, claim.why)


def _judged(report: PublishedReport) -> str:
    words = (
        f"Reproduced: shown to lie within {100 * report.margin:g} points of the report's value (the 90 % interval of "
        "the difference does). Not reproduced: shown to differ (the 95 % interval of the difference excludes 0). Else "
        "inconclusive, with the chance that such data had to show it were both the same. The report's intervals take "
        "its images as independent, and know nothing of other seeds."
    )
    if not report.confusion:
        return words
    which = " and ".join(report.confusion.get("swappable", ()))
    but = f", whichever of {which} is which" if which else ""
    return f"{words} What is worked out follows from its confusion matrix{but}."


def split_common(rows: Sequence[dict[str, str]]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """What is the same in all of several rows, and the rows without it, and without what none of them has."""
    if len(rows) < 2:
        return {}, [{k: v for k, v in row.items() if v != "-"} for row in rows]
    common = {k: v for k, v in rows[0].items() if all(row[k] == v for row in rows)}
    apart = [{k: v for k, v in row.items() if k not in common} for row in rows]
    return {k: v for k, v in common.items() if v != "-"}, apart
