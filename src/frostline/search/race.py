"""The race of a study: judges by what its trials have right, and keeps in the study which settings have left it.

What is looked at, and how sure it is: `evaluation/race.py`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from frostline.evaluation.depth_curve import Raced
from frostline.evaluation.race import Fold, level_of, look_at, rivals_of_folds, rounds_of
from frostline.evaluation.seeds import repeat
from frostline.search.answers import Answers, answers_of
from frostline.search.failures import ended_settings, settled
from frostline.search.repeats import FOLDS, Key, Params, by_settings, key_of, settings_of
from frostline.search.study import Plan
from frostline.search.trials import trials_of
from frostline.task import Task

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


def look(study: optuna.Study, plan: Plan, before: AbstractSet[int]) -> Standing | None:
    """Look at every round that all settings still in the race have completed, and keep what it shows.

    A round waits for trials that are running or still to come in the call (`failures.settled`). Settings of which one
    was given up, or has kept no answers, hold nothing up: they are judged by nobody, and do not leave. Further
    seeds bring no further looks: the rate of errors is that of the looks a race was begun with. Call it with the
    study's lock held.
    """
    if not plan.race:
        return None
    standing = standing_of(study)
    rounds = _rounds(plan.repeats)
    while standing is None or (standing.looks < min(standing.of, len(rounds)) and not standing.decided):
        now = standing or Standing(0, len(rounds), (), False)
        found = _look(study, plan, now, rounds[now.looks], before)
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
    study: optuna.Study, plan: Plan, now: Standing, done: Sequence[Params], before: AbstractSet[int]
) -> Standing | None:
    """The standing after a look at the repeats `done`; None while trials of them are to come."""
    every = trials_of(study)
    trials, over = by_settings(every), {key_of(t.params) for t in settled(every, before)}
    ended = ended_settings(every)
    cells = {key_of(settings_of(cell)): settings_of(cell) for cell in plan.cells or []}
    whole: dict[Key, list[FrozenTrial]] = {}
    for key, settings in cells.items():
        if has_left(now, settings, decided=False):
            continue
        lacks = [r for r in done if key_of(r) not in trials.get(key, {})]
        if key not in ended and any(key_of({**settings, **r}) not in over for r in lacks):
            return None
        if not lacks:
            whole[key] = [trials[key][key_of(r)] for r in done]
    racing: dict[Key, list[Answers]] = {}
    about_study = study.user_attrs
    for key, of in whole.items():
        answers = [a for a in (answers_of(about_study, t) for t in of) if a is not None]
        first = next(iter(racing.values()), answers)
        if len(answers) < len(of):
            why = "of an older version, it has not kept which images it has right"
        elif [a.images for a in answers] != [a.images for a in first]:
            why = "it was scored on other images than others"
        else:
            racing[key] = answers
            continue
        _warn_once(f"the race goes on without {words_of(cells[key])}: {why}")
    about = frozenset(key_of(cell) for cell in plan.cells or ())
    after = Standing(now.looks + 1, now.of, now.left, False, tuple(dict(r) for r in done), about)
    if len(racing) < 2:
        return after
    folds = folds_of([*racing.values()], done)
    if _has_no_interval(folds, next(iter(racing.values()))[0].classes, plan.objective):
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
def _warn_once(message: str) -> None:
    log.warning(message)


def folds_of(every: Sequence[Sequence[Answers]], done: Sequence[Params]) -> list[Fold]:
    """What the trials of every setting, one a repeat of `done`, have right: by fold."""
    by_fold: dict[Key, list[int]] = {}
    for i, which in enumerate(done):
        by_fold.setdefault(_fold_of(which), []).append(i)
    folds: list[Fold] = []
    for places in by_fold.values():
        first = every[0][places[0]]
        correct = np.array([[of[i].correct for i in places] for of in every])
        folds.append(Fold(correct.astype(float), first.targets, first.groups))
    return folds


def _has_no_interval(folds: Sequence[Fold], classes: int, objective: str) -> bool:
    """Whether groups are too few to judge the metric at all, by the rule of every interval."""
    metric, task = objective.removeprefix("val/"), Task(tuple(map(str, range(classes))), None)
    targets, groups = (np.concatenate([getattr(fold, name) for fold in folds]) for name in ("targets", "groups"))
    return bool(repeat([np.eye(classes)[targets]], targets, groups, task, [metric])[metric].why)


def has_left(standing: Standing | None, params: Mapping[str, Any], *, decided: bool = True) -> bool:
    """Whether the settings of `params` have left, or, where that counts, the race about them is `decided`."""
    if standing is None:
        return False
    if decided and standing.decided and (standing.cells is None or key_of(params) in standing.cells):
        return True
    return key_of(settings_of(params)) in {key_of(one.settings) for one in standing.left}
