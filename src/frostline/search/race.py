"""The race of a study: reads what its trials predicted, and keeps in the study which settings have left it.

What is looked at, and how sure it is: `evaluation/race.py`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna

from frostline.errors import FrostlineError
from frostline.evaluation.depth_curve import Raced
from frostline.evaluation.race import Fold, level_of, look_at, rivals_of_folds, rounds_of
from frostline.evaluation.seeds import repeat
from frostline.runs.finished import FinishedRun, read_run
from frostline.search.failures import ended_settings, settled
from frostline.search.repeats import FOLDS, Key, Params, by_settings, key_of, settings_of
from frostline.search.study import Plan
from frostline.search.trials import trials_of

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
    done: tuple[dict[str, Any], ...] = ()
    """The repeats that the last look had of all that it judged."""
    cells: frozenset[Key] | None = None
    """What the race is about: a study may be asked for more when it is decided. None: all, in studies of before."""

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
    cells = frozenset(key_of(cell) for cell in kept["cells"]) if "cells" in kept else None
    return Standing(kept["looks"], kept["of"], left, kept["decided"], tuple(kept["done"]), cells)


def raced_depths(standing: Standing | None) -> Raced | None:
    """What the race of a study over `freeze` has shown."""
    if standing is None:
        return None
    left = {int(one.settings["freeze"]): (one.trials, one.least) for one in standing.left}
    return Raced(standing.level, left, standing.decided)


def look(study: optuna.Study, plan: Plan, folder: Path, before: AbstractSet[int]) -> Standing | None:
    """Look at every round that all settings still in the race have completed, and keep what it shows.

    A round waits for trials that are running or still to come in the call (`failures.settled`). Settings of which one
    was given up, or whose folder is gone, hold nothing up: they are judged by nobody, and do not leave. Further
    seeds bring no further looks: the rate of errors is that of the looks a race was begun with. Call it with the
    study's lock held.
    """
    if not plan.race:
        return None
    standing = standing_of(study)
    rounds = _rounds(plan.repeats)
    while standing is None or (standing.looks < min(standing.of, len(rounds)) and not standing.decided):
        now = standing or Standing(0, len(rounds), (), False)
        found = _look(study, plan, folder, now, rounds[now.looks], before)
        if found is None:
            break
        standing = found
        left = [{"settings": one.settings, "trials": one.trials, "least": one.least} for one in found.left]
        kept = {"looks": found.looks, "of": found.of, "left": left, "decided": found.decided, "done": found.done}
        kept["cells"] = plan.cells
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


def _look(
    study: optuna.Study, plan: Plan, folder: Path, now: Standing, done: Sequence[Params], before: AbstractSet[int]
) -> Standing | None:
    """The standing after a look at the repeats `done`; None while trials of them are to come."""
    every = trials_of(study)
    trials, over = by_settings(every), {key_of(t.params) for t in settled(every, before)}
    ended = ended_settings(every)
    cells = {key_of(settings_of(cell)): settings_of(cell) for cell in plan.cells or []}
    racing = {}
    for key, settings in cells.items():
        if has_left(now, settings, decided=False):
            continue
        lacks = [r for r in done if key_of(r) not in trials.get(key, {})]
        if key not in ended and any(key_of({**settings, **r}) not in over for r in lacks):
            return None
        if not lacks:
            try:
                racing[key] = [_read(folder / f"trial-{trials[key][key_of(r)].number}") for r in done]
            except FrostlineError as error:  # somebody has removed a folder
                _warn_once(f"the race goes on without {words_of(settings)}: {error}")
    about = frozenset(key_of(cell) for cell in plan.cells or ())
    after = Standing(now.looks + 1, now.of, now.left, False, tuple(dict(r) for r in done), about)
    if len(racing) < 2:
        return after
    folds, firsts = _folds_of([*racing.values()], done)
    if _has_no_interval(firsts, plan.objective):
        return after
    found = look_at(rivals_of_folds(folds, plan.objective == "val/balanced_acc"), plan.margin, level_of(now.of))
    left = [
        Left(cells[key], len(trials[key]), round(float(least), 4))
        for key, leaves, least in zip(racing, found.leaves, found.least, strict=True)
        if leaves
    ]
    return after._replace(left=(*now.left, *left), decided=found.decided)


def words_of(settings: Params) -> str:
    """`freeze=80`."""
    return " ".join(f"{name}={value}" for name, value in settings.items())


@cache
def _read(folder: Path) -> FinishedRun:
    """A run, read once: finished ones stay as they are, and every look needs all of them."""
    return read_run(folder, splits=("val",))


@cache
def _warn_once(message: str) -> None:
    log.warning(message)


def _folds_of(runs: Sequence[Sequence[FinishedRun]], done: Sequence[Params]) -> tuple[list[Fold], list[FinishedRun]]:
    """What the runs of every setting, one a repeat of `done`, predict: by fold, and a run of each fold."""
    by_fold: dict[Key, list[int]] = {}
    for i, which in enumerate(done):
        by_fold.setdefault(_fold_of(which), []).append(i)
    folds, firsts = [], []
    for places in by_fold.values():
        first = runs[0][places[0]]
        p = first.predictions["val"]
        correct = np.array([[of[i].predictions["val"].predicted == p.targets for i in places] for of in runs])
        folds.append(Fold(correct.astype(float), p.targets, p.groups))
        firsts.append(first)
    return folds, firsts


def _has_no_interval(runs: Sequence[FinishedRun], objective: str) -> bool:
    """Whether groups are too few to judge the metric at all, by the rule of every interval."""
    metric = objective.removeprefix("val/")
    p = [run.predictions["val"] for run in runs]
    probabilities, targets, groups = (
        np.concatenate([getattr(one, name) for one in p]) for name in ("probabilities", "targets", "groups")
    )
    return bool(repeat([probabilities], targets, groups, runs[0].task, [metric])[metric].why)


def has_left(standing: Standing | None, params: Mapping[str, Any], *, decided: bool = True) -> bool:
    """Whether the settings of `params` have left, or, where that counts, the race about them is `decided`."""
    if standing is None:
        return False
    if decided and standing.decided and (standing.cells is None or key_of(params) in standing.cells):
        return True
    return key_of(settings_of(params)) in {key_of(one.settings) for one in standing.left}
