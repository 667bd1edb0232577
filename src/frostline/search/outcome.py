"""What a study leaves: a table of its trials, what it found in words, and plots."""

from __future__ import annotations

import logging
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from matplotlib.figure import Figure
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState, create_trial

from frostline.errors import FrostlineError
from frostline.evaluation.depth_curve import Curve
from frostline.installation import PROGRAM
from frostline.plots.study import TrialPoint, plot_finding, plot_history, plot_importances
from frostline.plots.style import write_png
from frostline.runs.finished import FinishedRun, depth_curve, read_run
from frostline.runs.holdout import count_uses, read_test_set, users_of, uses_in_words
from frostline.search.best import asked_of, best_settings
from frostline.search.failures import DEATHS, deaths_of, failure_of, settled
from frostline.search.monitor import format_value
from frostline.search.race import raced_depths, standing_of
from frostline.search.repeats import (
    REPEATED,
    Key,
    by_settings,
    key_of,
    repeats_in_words,
    searched,
    settings_of,
    value_of,
)
from frostline.search.study import Plan
from frostline.search.tables import interval_of, settings_table, trials_table, write_trials
from frostline.search.trials import is_gone, trials_of
from frostline.text import interval, percent

log = logging.getLogger("frostline")


def show_results(
    study: optuna.Study, plan: Plan, folder: Path, before: AbstractSet[int], logs_dir: Path
) -> dict[str, Any] | None:
    """Write table and plots to `folder`, and print the table, of the call with these trials `before` it.

    Returns the best settings, None when no trial is complete.
    """
    trials = trials_of(study)
    write_trials(folder / "trials.csv", trials, plan, standing_of(study))
    asked = asked_of(study, by_settings(trials))
    every = {**{key_of(r): r for r in plan.repeats}, **{r: dict(r) for of in asked.values() for r in of}}
    several = len(every) > 1  # this call or one before has asked for some
    if several:
        shown = replace(plan, repeats=[*every.values()])
        log.info("\n%s", settings_table(trials, shown, standing_of(study), asked))
    else:
        log.info("\n%s", trials_table(trials, plan))
    for t in settled(trials, before):
        if t.state == TrialState.FAIL and failure_of(t)["kind"] in DEATHS:
            deaths = len(deaths_of(t.params, trials))
            log.info(f"given up after {deaths} deaths: {_in_words(t.params)}; the same command tries it once more")
    try:
        best = best_settings(study)
    except LookupError:
        return None
    if elsewhere := [t.number for t in trials if t.state == TrialState.COMPLETE and is_gone(folder, t.number)]:
        log.info(f"no files here of trial {', '.join(map(str, elsewhere))}: there is no curve, which needs all")
    curve = curve_of_study(study, plan, folder)
    plots = draw_study(study, plan, folder, curve)
    if best.settings:
        single = f"trial {best.trial}{_interval(trials[best.trial], plan)}"
        of = repeats_in_words(best.repeats) if len(best.repeats) > 1 else single
        if len(best.repeats) == 1 and several:
            of = f"{single}; compared by {_in_words(best.repeats[0])}, which all settings have"
        ties = f"; the same with {_in_words(best.ties[0])}" if best.ties else ""
        others = len(best.ties) - 1
        ties += f" and {others} other setting{'s' if others > 1 else ''}" if others > 0 else ""
        log.info(f"highest {plan.objective}: {best.value:.3f} ({of}) with {_in_words(best.settings)}{ties}")
        for sentence in curve.in_words() if curve is not None else ():
            log.info(f"{sentence[0].upper()}{sentence[1:]}")
        log.info("The highest of several on validation is partly luck: the test set decides, once.")
    tested = [t.user_attrs for t in trials if "test/acc" in t.user_attrs]
    if tested:
        log.info(accuracy_in_words(tested))
    test_sets = {read_test_set(folder / f"trial-{t.number}") for t in trials}
    log.info(f"test set of this study: {uses_in_words(count_uses(logs_dir, test_sets), users_of(logs_dir, test_sets))}")
    log.info(f"folder  {folder}: {', '.join(['trials.csv', 'best.yaml', *(p.name for p in plots)])}")
    if best.settings:
        log.info(f"train with these settings: {PROGRAM} --config-dir={folder.parent} +{folder.name}=best")
    return best.settings


def accuracy_in_words(tested: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy on test over runs of these attributes, in which an interval that there is not is None."""
    accuracy, images = [a["test/acc"] for a in tested], tested[0]["test/images"]
    of = f"mean of {len(tested)} runs ({interval(min(accuracy), max(accuracy))})" if len(tested) > 1 else "one run"
    known = [a for a in tested if a["test/acc/lower"] is not None]
    reach = "no interval, for groups are too few"
    if known:
        ends = min(a["test/acc/lower"] for a in known), max(a["test/acc/upper"] for a in known)
        reach = f"95 % intervals of single runs reach from {interval(*ends)}"
    return f"test accuracy: {percent(statistics.mean(accuracy))}, {of} on {images} images; {reach}"


def _in_words(settings: Mapping[str, Any]) -> str:
    return " ".join(f"{k}={format_value(v)}" for k, v in settings.items())


def _interval(trial: FrozenTrial, plan: Plan) -> str:
    low, high = interval_of(trial, plan.objective) or (None, None)
    return "" if low is None else f", 95 % interval {low:.3f} to {high:.3f}"


def curve_of_study(study: optuna.Study, plan: Plan, folder: Path) -> Curve | None:
    """The curve of a study over `freeze`, with seeds and folds; None for other studies, or where runs are not here."""
    if [*searched(plan.space)] != ["freeze"]:
        return None
    runs: dict[int, list[FinishedRun]] = defaultdict(list)
    for t in trials_of(study, [TrialState.COMPLETE]):
        try:
            run = read_run(folder / f"trial-{t.number}", splits=("val",))
        except FrostlineError:  # on another host's disk, or removed: a part of the runs may contradict the whole
            return None
        runs[int(t.params["freeze"])].append(run)
    return depth_curve(runs, plan.objective, plan.margin, raced_depths(standing_of(study)))


def draw_study(study: optuna.Study, plan: Plan, folder: Path, curve: Curve | None) -> list[Path]:
    """The plots that fit the study: history and importances of a search, a curve over `freeze`."""
    complete = trials_of(study, [TrialState.COMPLETE])
    plots: dict[str, Figure] = {}
    if plan.cells is None:
        plots["history.png"] = plot_history(points_of(study, plan.objective), plan.objective)
        if importances := importances_of(study):
            plots["importances.png"] = plot_importances(importances, plan.objective, len(complete))
    if curve is not None:
        plots["freezing.png"] = plot_finding(curve, stage_ends(plan.fixed), plan.objective)
    for name, figure in plots.items():
        write_png(figure, folder / name)
    return [folder / name for name in plots]


def points_of(study: optuna.Study, objective: str) -> tuple[TrialPoint, ...]:
    """The trials that have a value, in order; of settings with folds and seeds one for all of these."""
    ended = trials_of(study, [TrialState.COMPLETE, TrialState.PRUNED])
    trials = [t for t in ended if t.value is not None]
    if not any(name in t.params for t in trials for name in REPEATED):
        return tuple(
            TrialPoint(t.number, float(t.value or 0), t.state == TrialState.PRUNED, interval_of(t, objective))
            for t in trials
        )
    settings: dict[Key, list[FrozenTrial]] = defaultdict(list)
    for t in trials:
        settings[key_of(settings_of(t.params))].append(t)
    most, points = max(len(of) for of in settings.values()), []
    for of in settings.values():
        complete = [t for t in of if t.state == TrialState.COMPLETE]
        values = tuple(float(t.value or 0) for t in of)
        value = value_of(complete, objective) if complete else statistics.mean(values)
        points.append(TrialPoint(of[-1].number, value, len(complete) < most, None, values))
    return tuple(sorted(points))


def importances_of(study: optuna.Study) -> dict[str, float]:
    """PED-ANOVA over settings that are complete (Watanabe et al. 2023), of what varies and is searched.

    Empty when there are fewer than four, or all are equal. Each counts once, with its score over its seeds and folds.
    """
    every = by_settings(trials_of(study))
    most = max((len(of) for of in every.values()), default=0)
    scores = {key: value_of([*of.values()], objective_of(study)) for key, of in every.items() if len(of) == most}
    always = [name for name in dict(next(iter(scores), ())) if all(name in dict(key) for key in scores)]
    names = [name for name in always if len({dict(key)[name] for key in scores}) > 1]
    if len(scores) < 4 or len({*scores.values()}) < 2 or len(names) < 2:
        return {}
    space = searched(next(iter(next(iter(every.values())).values())).distributions)
    pooled = optuna.create_study(direction="maximize")
    for key, score in scores.items():
        settings = {name: dict(key)[name] for name in always}  # those of conditions compare with nothing
        of = {name: space[name] for name in always}
        pooled.add_trial(create_trial(params=settings, distributions=of, value=score))
    return dict(get_param_importances(pooled, evaluator=PedAnovaImportanceEvaluator(), params=names))


def objective_of(study: optuna.Study) -> str:
    """What a study maximises."""
    return str(study.user_attrs.get("frostline", {}).get("objective", "val/acc"))


def stage_ends(fixed: Mapping[str, Any]) -> dict[str, int]:
    """Number of layers up to the end of each stage of a study's network, when all trials share it."""
    from frostline.models.backbones import build_backbone
    from frostline.models.layer_tables import layer_table

    name, unit = fixed.get("model.name"), fixed.get("freeze_unit")
    if name is None or unit is None:
        return {}
    table = layer_table(name, build_backbone(name)[0], unit)
    return {layer.stage: i + 1 for i, layer in enumerate(table) if layer.stage}
