"""Claim cards: published reports beside the runs and studies that ask the same question."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from frostline.evaluation.depth_curve import Curve
from frostline.report.collect import Collected, StudyData, TrialData
from frostline.report.configurations import Configuration
from frostline.report.published import PublishedReport, read_published
from frostline.report.reproduction import (
    Claim,
    Searched,
    errors_inside,
    like_the_reports,
    metric_claims,
    search_claims,
)
from frostline.runs.finished import FinishedRun, depth_curve
from frostline.search.repeats import Key, key_of, repeat_of, settings_of


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
    same = [c for c in tested if c.options["data.name"] == report.data and c.task.classes == report.classes]
    columns = [c for c in same if c.options["model.name"] == report.model]
    sisters = {c.options["model.name"]: c.metrics for c in same}
    by_column = [
        metric_claims(report, c.metrics, errors_inside(report, c.probabilities, c.targets, c.groups), c.options)
        for c in columns
    ]

    def asks_the_same(study: StudyData) -> bool:
        wanted = report.data, report.model, report.objective
        return (study.fixed.get("data.name"), study.fixed.get("model.name"), study.objective) == wanted

    studies = [s for s in reversed(collected.studies) if asks_the_same(s)]
    search = next((s for s in studies if {*report.settings} & {*s.searched} and s.complete), None)
    searched = None if search is None else _searched(report, search, collected)
    curve = next((curves[s.name] for s in studies if s.name in curves), None)
    return ClaimCard(
        report,
        tuple(c.label for c in columns),
        tuple(zip(*by_column, strict=True)),
        tuple(search_claims(report, curve, searched, sisters)),
    )


def _searched(report: PublishedReport, study: StudyData, collected: Collected) -> Searched:
    """What a search came to; a setting that was drawn twice with one seed is one trial."""
    together: dict[Key, dict[Key, TrialData]] = defaultdict(dict)
    for trial in study.complete:
        together[key_of(settings_of(trial.settings))].setdefault(key_of(repeat_of(trial.settings)), trial)
    tried = [[*by_seed.values()] for by_seed in together.values()]
    theirs = [i for i, (trial, *_) in enumerate(tried) if like_the_reports(report, trial.settings)]
    runs = {i: _runs_of(trials, collected) for i, trials in enumerate(tried)}
    curve = (
        depth_curve(runs, study.objective, study.margin)
        if all(len(of_setting) > 1 for of_setting in runs.values())
        else None
    )
    best = max(study.complete, key=lambda t: t.value or 0) if curve is None else tried[curve.highest.freeze][0]
    return Searched(best.settings, bool(theirs), curve, theirs)


def _runs_of(trials: Sequence[TrialData], collected: Collected) -> list[FinishedRun]:
    return [run for run in map(collected.run_of, trials) if run is not None]
