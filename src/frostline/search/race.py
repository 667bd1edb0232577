"""The race of a study: reads what its trials predicted, and keeps in the study which settings have left it.

What is looked at, and how sure it is: `evaluation/race.py`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from frostline.errors import FrostlineError
from frostline.evaluation.depth_curve import Raced
from frostline.evaluation.race import Fold, level_of, look_at, rivals_of_folds, rounds_of
from frostline.evaluation.seeds import repeat
from frostline.runs.finished import FinishedRun, read_run
from frostline.search.failures import SAME_AGAIN, failure_of
from frostline.search.repeats import FOLDS, Key, Params, by_settings, key_of, settings_of
from frostline.search.study import Plan

log = logging.getLogger("frostline")

ATTRIBUTE = "race"  # of the study


class Left(NamedTuple):
    """Settings that have left a race."""

    settings: dict[str, Any]
    trials: int
    """Of theirs, when they left."""
    least: float
    """How far they are shown to be behind the best, at least, 0..1."""


class Standing(NamedTuple):
    """How a race stands: what a study keeps of it."""

    looks: int
    """Done so far."""
    of: int
    left: tuple[Left, ...]
    decided: bool
    """Whether nothing is left to find out: no further trial is run."""

    @property
    def level(self) -> float:
        """At which each look judges."""
        return level_of(self.of)


def standing_of(study: optuna.Study) -> Standing | None:
    """What `study` keeps of its race; None where there is none, or nothing was looked at yet."""
    kept = study.user_attrs.get(ATTRIBUTE)
    if kept is None:
        return None
    left = tuple(Left(dict(one["settings"]), one["trials"], one["least"]) for one in kept["left"])
    return Standing(kept["looks"], kept["of"], left, kept["decided"])


def raced_depths(standing: Standing | None) -> Raced | None:
    """What the race of a study over `freeze` has shown."""
    if standing is None:
        return None
    left = {int(one.settings["freeze"]): (one.trials, one.least) for one in standing.left}
    return Raced(standing.level, left, standing.decided)


def look(study: optuna.Study, plan: Plan, folder: Path) -> Standing | None:
    """Look at every round that all settings still in the race have completed, and keep what it shows.

    Settings without a complete trial of the round, for one failed or its folder is gone, hold nothing up: what they
    lack is done again or given up, and until then they are judged by nobody. Call it with the study's lock held.
    """
    if not plan.race:
        return None
    standing = standing_of(study)
    rounds = _rounds(plan.repeats)
    while standing is None or (standing.looks < len(rounds) and not standing.decided):
        now = standing or Standing(0, len(rounds), (), False)
        found = _look(study, plan, folder, now, rounds[now.looks])
        if found is None:
            break
        standing = found
        left = [{"settings": one.settings, "trials": one.trials, "least": one.least} for one in found.left]
        kept = {"looks": found.looks, "of": found.of, "left": left, "decided": found.decided}
        study.set_user_attr(ATTRIBUTE, json.loads(json.dumps(kept)))
    return standing


def _rounds(repeats: Sequence[Params]) -> list[list[Params]]:
    """The repeats that are done at each look."""
    seeds = [*dict.fromkeys(r["seed"] for r in repeats)]
    folds = [*dict.fromkeys(_fold_of(r) for r in repeats)]

    def is_done(repeat: Params, done: Sequence[int]) -> bool:
        fold = folds.index(_fold_of(repeat))
        return fold < len(done) and seeds.index(repeat["seed"]) < done[fold]

    return [[r for r in repeats if is_done(r, done)] for done in rounds_of(len(folds), len(seeds))]


def _fold_of(params: Params) -> Key:
    return key_of({name: params[name] for name in FOLDS if name in params})


def _look(study: optuna.Study, plan: Plan, folder: Path, now: Standing, done: Sequence[Params]) -> Standing | None:
    """The standing after a look at the repeats `done`; None while trials of them are missing."""
    gone = {key_of(one.settings) for one in now.left}
    cells = {key_of(settings_of(cell)): settings_of(cell) for cell in plan.cells or []}
    trials = by_settings(study.get_trials(deepcopy=False))
    racing = [key for key in cells if key not in gone]
    missing = [key for key in racing if not all(key_of(r) in trials.get(key, {}) for r in done)]
    if missing and not all(_is_given_up(study, cells[key]) for key in missing):
        return None
    racing = [key for key in racing if key not in missing]
    if len(racing) < 2:
        return Standing(now.looks + 1, now.of, now.left, decided=len(racing) == 1 and not missing)
    try:
        folds, task_runs = _read_folds([[trials[key][key_of(r)] for r in done] for key in racing], folder)
    except FrostlineError as error:  # somebody has removed a folder: nothing leaves by what cannot be read
        _warn_once(f"the race goes on without a look: {error}")
        return None
    if _has_no_interval(task_runs, plan.objective):
        return Standing(now.looks + 1, now.of, now.left, decided=False)
    rivals = rivals_of_folds(folds, balanced=plan.objective == "val/balanced_acc")
    found = look_at(rivals, plan.margin, level_of(now.of))
    left = [
        Left(cells[key], len(trials[key]), round(float(least), 4))
        for key, worse, least in zip(racing, found.worse, found.least, strict=True)
        if worse
    ]
    return Standing(now.looks + 1, now.of, (*now.left, *left), found.decided and not missing)


@cache
def _read(folder: Path) -> FinishedRun:
    """A run, read once: finished ones stay as they are, and every look needs all of them."""
    return read_run(folder, splits=("val",))


@cache
def _warn_once(message: str) -> None:
    log.warning(message)


def _is_given_up(study: optuna.Study, settings: Params) -> bool:
    """Whether a setting has failed in a way that would repeat itself."""
    return any(
        settings_of(t.params) == settings and failure_of(t)["kind"] in SAME_AGAIN
        for t in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.FAIL,))
    )


def _read_folds(trials: Sequence[Sequence[FrozenTrial]], folder: Path) -> tuple[list[Fold], list[FinishedRun]]:
    """What the trials of every setting predict, by fold. Raises `FrostlineError` where a run cannot be read."""
    runs: dict[Key, list[list[FinishedRun]]] = {}
    for i, of_setting in enumerate(trials):
        for t in of_setting:
            by_setting = runs.setdefault(_fold_of(t.params), [[] for _ in trials])
            by_setting[i].append(_read(folder / f"trial-{t.number}"))
    folds = []
    for by_setting in runs.values():
        first = by_setting[0][0].predictions["val"]
        correct = np.array([[r.predictions["val"].predicted == first.targets for r in seeds] for seeds in by_setting])
        folds.append(Fold(correct.astype(float), first.targets, first.groups))
    return folds, [by_setting[0][0] for by_setting in runs.values()]


def _has_no_interval(runs: Sequence[FinishedRun], objective: str) -> bool:
    """Whether groups are too few to judge the metric at all, by the rule of every interval."""
    metric = objective.removeprefix("val/")
    p = [run.predictions["val"] for run in runs]
    probabilities, targets, groups = (
        np.concatenate([getattr(one, name) for one in p]) for name in ("probabilities", "targets", "groups")
    )
    return bool(repeat([probabilities], targets, groups, runs[0].task, [metric])[metric].why)


def has_left(standing: Standing | None, params: Mapping[str, Any]) -> bool:
    """Whether the settings of `params` have left, or the race is decided."""
    if standing is None:
        return False
    return standing.decided or key_of(settings_of(params)) in {key_of(one.settings) for one in standing.left}
