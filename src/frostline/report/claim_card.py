"""Claim cards: published reports beside the runs and studies that ask the same question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from frostline.evaluation.comparison import compare
from frostline.evaluation.depth_curve import Curve
from frostline.report.collect import Collected, StudyData
from frostline.report.configurations import Configuration
from frostline.report.published import PublishedReport, read_published
from frostline.report.reproduction import Claim, Searched, like_the_reports, metric_claims, search_claims
from frostline.task import Task, choose_positive


@dataclass(frozen=True)
class ClaimCard:
    """A report's values beside those of every tested configuration of its model, and beside the search."""

    report: PublishedReport
    columns: tuple[str, ...]
    """Labels of the configurations."""
    rows: tuple[tuple[Claim, ...], ...]
    """A row for each value, a claim for each column."""
    search: tuple[Claim, ...]


def claim_cards(tested: Sequence[Configuration], curves: Mapping[str, Curve], collected: Collected) -> list[ClaimCard]:
    """A card for each published report on a data set that was run here; other data say nothing about it."""
    here = {str(run.options.get("data.name")) for run in collected.runs}
    here |= {str(study.fixed.get("data.name")) for study in collected.studies}
    return [_card(report, tested, curves, collected) for report in read_published() if report.data in here]


def _card(
    report: PublishedReport, tested: Sequence[Configuration], curves: Mapping[str, Curve], collected: Collected
) -> ClaimCard:
    task = Task(report.classes, choose_positive(report.classes, "auto"))
    same = [c for c in tested if c.options["data.name"] == report.data and c.task.classes == task.classes]
    columns = [c for c in same if c.options["model.name"] == report.model]
    sisters = {c.options["model.name"]: c.metrics for c in same}
    by_column = [metric_claims(report, task, c.metrics, c.matrix, c.options) for c in columns]

    def asks_the_same(study: StudyData) -> bool:
        wanted = report.data, report.model, report.freezing.get("objective", "val/acc")
        return (study.fixed.get("data.name"), study.fixed.get("model.name"), study.objective) == wanted

    studies = [s for s in reversed(collected.studies) if asks_the_same(s)]
    search = next((s for s in studies if {*report.settings} & {*s.searched} and s.complete), None)
    searched = None if search is None else _searched(report, search, collected)
    curve = next((curves[s.name] for s in studies if s.name in curves), None)
    return ClaimCard(
        report,
        tuple(c.label for c in columns),
        tuple(zip(*by_column, strict=True)),
        tuple(search_claims(report, curve, searched, sisters, task)),
    )


def _searched(report: PublishedReport, study: StudyData, collected: Collected) -> Searched:
    ranked = sorted(study.complete, key=lambda t: -(t.value or 0))
    theirs = next((t for t in ranked if like_the_reports(report, t.settings)), None)
    runs = [collected.run_of(t) for t in (ranked[0], theirs) if t is not None]
    predicted = [run.predictions["val"] for run in runs if run is not None]
    if len(predicted) < 2:
        return Searched(ranked[0].settings, None)
    first = predicted[0]
    (pair,) = compare([p.probabilities for p in predicted], first.targets, first.groups, first.task)
    return Searched(ranked[0].settings, pair.shown)
