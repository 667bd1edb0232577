"""A study in its database: what it searches and keeps fixed, so that it cannot become another one unnoticed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    check_distribution_compatibility,
    distribution_to_json,
    json_to_distribution,
)
from optuna.exceptions import DuplicatedStudyError

from frostline.config.compose import former_options
from frostline.config.schema import SearchConfig
from frostline.errors import ConfigError
from frostline.search.pruning import build_pruner
from frostline.search.repeats import REPEATED, settings_of
from frostline.search.space import open_ended
from frostline.search.storage import open_storage
from frostline.text import hide_password

GROWN = 5  # times at most that a study is told what it has grown to
CREATED_S = 20.0  # between the creation of a study and what it is
OTHER_IMAGES = "other images"
ABOUT = "frostline"  # attribute of a study: what it is
USUAL = "usual"  # of it: the value that trials had of an option before the study was run with several


@dataclass(frozen=True)
class Plan:
    """What a study searches: `space` by option, all `cells` of a grid (None: a sampler draws), and what is fixed.

    Every setting is run once for each of its `repeats`.
    """

    name: str
    objective: str
    space: dict[str, BaseDistribution]
    cells: list[dict[str, Any]] | None
    """In the order in which they are run."""
    trials: int
    pruner: dict[str, Any]
    margin: float
    """How far behind the best counts as no worse, 0..1."""
    fixed: dict[str, Any]
    """All other options that bear on the result, by full name."""
    data: str
    """Fingerprint of the data set."""
    first: list[dict[str, Any]]
    """Settings that a search tries first, those that runs have without it; what is not given is drawn."""
    repeats: list[dict[str, Any]] = field(default_factory=lambda: [{}])
    """Seeds and folds of `space`, all of which every setting is run with, in order."""
    race: bool = False
    """Whether settings of a grid that are shown worse leave it."""
    only_if: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    """Options that exist only with some values of others (`space.Conditions`), which stand before them in `space`."""


def open_study(url: str, name: str) -> optuna.Study:
    """Open the study `name` with the pruner it was begun with. Raises `ConfigError` when there is none."""
    storage = open_storage(url)
    try:
        study = optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        known = ", ".join(sorted(optuna.get_all_study_names(storage))) or "none"
        raise ConfigError(f"there is no study {name!r} in {hide_password(url)} (there: {known})") from None
    pruner = study.user_attrs[ABOUT]["pruner"]
    study.pruner = build_pruner(pruner["name"], pruner["options"])
    return study


def begin_study(url: str, plan: Plan, changed_files: str = "") -> optuna.Study:
    """Open the study of `plan`, creating it the first time; `changed_files` says of images what has changed since.

    A study grows: a grid is the set of all cells that were ever asked for, and settings may be run with further seeds
    and folds. Raises `ConfigError` when the study there searches another space, or other data, or keeps other options
    fixed.
    """
    pruner = build_pruner(plan.pruner["name"], plan.pruner["options"])  # a wrong one leaves no study behind
    storage = open_storage(url)
    try:  # whoever creates it says what it is: of two that come at a time one does
        study = optuna.create_study(study_name=plan.name, storage=storage, direction="maximize")
        then = None
    except DuplicatedStudyError:
        study = optuna.load_study(study_name=plan.name, storage=storage)
        then = _what_it_is(study)
    now = _about(plan if then is None else _as_kept(then, plan))
    if then is None:
        study.set_user_attr(ABOUT, now)
    elif (difference := _difference(then, now)) is None:
        for _ in range(GROWN):  # of two that let it grow at a time the later would leave out what the other asks for
            current = study.user_attrs[ABOUT]
            if (grown := _grown(current, _about(_as_kept(current, plan)))) == current:
                break
            study.set_user_attr(ABOUT, grown)
            time.sleep(0.2)
    else:
        images = difference.startswith(OTHER_IMAGES)
        named = f" ({changed_files})" if changed_files and images else ""
        raise ConfigError(
            f"study {plan.name!r} was begun with {difference}{named}; start a new one with study=NAME, or with --name "
            f"NAME of frostline study, or {'put the files back' if images else 'go on with the old options'}"
        )
    study.pruner = pruner
    return study


def _about(plan: Plan) -> dict[str, Any]:
    """What a study keeps of its plan, as JSON gives it back."""
    kept = {
        "objective": plan.objective,
        "space": {name: json.loads(distribution_to_json(d)) for name, d in plan.space.items()},
        "cells": plan.cells,
        "fixed": plan.fixed,
        "data": plan.data,
        "pruner": plan.pruner,
        "margin": plan.margin,
        "race": plan.race,
        "only_if": plan.only_if,
        "repeats": plan.repeats,
    }
    return dict(json.loads(json.dumps(kept)))


def plan_for(study: optuna.Study, plan: Plan) -> Plan:
    """The plan as its study, which was begun, can take it: choices in its order, a seed where it has many."""
    return _as_kept(study.user_attrs[ABOUT], plan)


def _as_kept(about: Mapping[str, Any], plan: Plan) -> Plan:
    # The study has several values of these since: this is a call for one of them.
    one = {name: plan.fixed[name] for name in about["space"] if name not in plan.space and name in plan.fixed}
    if plan.cells is not None and (one := {n: v for n, v in one.items() if _is_grid(about) or n == "seed"}):
        repeat = {name: value for name, value in one.items() if name in REPEATED}
        plan = replace(
            plan,
            space={**plan.space, **{name: open_ended(CategoricalDistribution([value])) for name, value in one.items()}},
            cells=[{**cell, **one} for cell in plan.cells],
            repeats=[{**r, **repeat} for r in plan.repeats],
            fixed={name: value for name, value in plan.fixed.items() if name not in one},
        )

    def kept(name: str, asked: BaseDistribution) -> BaseDistribution:
        then = json_to_distribution(json.dumps(about["space"][name])) if name in about["space"] else None
        if not isinstance(then, CategoricalDistribution):
            return asked
        if isinstance(asked, CategoricalDistribution):
            return then if set(then.choices) == set(asked.choices) else asked
        values = {cell[name] for cell in (plan.repeats if plan.cells is None else plan.cells) if name in cell}
        return then if values and values <= set(then.choices) else asked  # studies of before kept numbers as choices

    return replace(plan, space={name: kept(name, asked) for name, asked in plan.space.items()})


def _is_grid(about: Mapping[str, Any]) -> bool:
    return about["cells"] is not None


def _may_race(about: Mapping[str, Any]) -> bool:
    """Whether there are several settings, and several seeds of them."""
    cells = about["cells"] or ()
    settings = {json.dumps(settings_of(cell), sort_keys=True) for cell in cells}
    return len(settings) > 1 and len({cell.get("seed") for cell in cells}) > 1


def _usual(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Options that a study was given one value of, and is now run with several, with that value."""
    several = [name for name in now["space"] if name not in then["space"] and name in then["fixed"]]
    both = _is_grid(then) and _is_grid(now) and not (then.get("race") and _may_race(then))  # a race has its own arms
    return {n: v for n in several if _holds_or_may(now["space"][n], v := then["fixed"][n]) and (both or n == "seed")}


def _holds_or_may(distribution: Mapping[str, Any], value: Any) -> bool:
    """Whether a value is one of a distribution, or a number that it may grow to hold."""
    a = distribution["attributes"]
    if "choices" in a:
        return any(type(one) is type(value) and one == value for one in a["choices"])
    return type(value) is (int if distribution["name"] == "IntDistribution" else float)  # 1.0 and 1 are not one option


def _grown(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What a study is, that was begun as `then`, after it was asked for `now` too."""
    space, usual = dict(then["space"]), _usual(then, now)
    for name, asked in now["space"].items():
        a, had = asked["attributes"], space.get(name, asked)["attributes"]
        if name in usual:
            had = {**a, "low": usual[name], "high": usual[name]}
        if "low" in a and _may_grow(name, now):
            ends = {"low": min(a["low"], had["low"]), "high": max(a["high"], had["high"])}
            step = {"step": 1} if isinstance(a["low"], int) and a["step"] != had["step"] else {}
            asked = {**asked, "attributes": {**a, **ends, **step}}
        space[name] = asked
    cells = then["cells"]
    if cells is not None:
        kept = [usual | cell for cell in cells]
        cells = kept + [cell for cell in now["cells"] if cell not in kept]
    return {
        **then,
        "race": then.get("race", False) if _may_race(then) else now["race"],
        "space": space,
        "cells": cells,
        "fixed": {name: value for name, value in then["fixed"].items() if name not in usual},
        "repeats": now["repeats"],
        **({USUAL: {**then.get(USUAL, {}), **usual}} if usual else {}),
    }


def _may_grow(name: str, now: Mapping[str, Any]) -> bool:
    """Whether further values of an option continue a study: all of a grid's, and seeds and folds of any."""
    return now["cells"] is not None or name in REPEATED


def _what_it_is(study: optuna.Study) -> dict[str, Any] | None:
    """What its creator says of it, waited for; None where that died before it could."""
    until = time.monotonic() + CREATED_S
    while True:
        said: dict[str, Any] | None = study.user_attrs.get(ABOUT)
        if said is not None or time.monotonic() > until:
            return said
        time.sleep(0.1)


def margin_of(about: Mapping[str, Any]) -> float:
    """The margin that a study keeps, by its attributes; studies of before had the usual one."""
    return float(about.get("margin", SearchConfig.margin))


def _difference(then: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """What makes the results of two plans not comparable, in words; None if nothing does."""
    usual = _usual(then, now)
    for name in sorted({*then["space"], *now["space"]}):
        a, b = then["space"].get(name), now["space"].get(name)
        grows = _may_grow(name, now) and a is not None and b is not None and _takes(a, b)
        if a != b and not grows and name not in usual:
            return f"{name} {_in_words(a)}, not {_in_words(b)}"
    if (then["cells"] is None) != (now["cells"] is None):
        return "another sampler"
    defaults = former_options()
    for name in sorted({*then["fixed"], *now["fixed"]} - {*usual}):
        a, b = then["fixed"].get(name, defaults.get(name)), now["fixed"].get(name)
        if a != b:
            return f"{name}={_plain(a)}, not {_plain(b)}"
    then = {"margin": margin_of(then), "race": False, "only_if": {}, **then}
    for name in ("objective", "pruner", "margin", "race", "only_if"):
        if then[name] != now[name] and (name != "race" or (_may_race(then) and _may_race(now))):
            return f"{name} {_plain(then[name])}, not {_plain(now[name])}"
    if then["data"] != now["data"]:
        return f"{OTHER_IMAGES}: files were added, removed or changed since"
    return None


def _takes(kept: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether Optuna lets trials with values of `asked` into a study that has some of `kept`."""
    try:
        check_distribution_compatibility(*(json_to_distribution(json.dumps(d)) for d in (kept, asked)))
    except ValueError:
        return False
    return True


def _in_words(distribution: Mapping[str, Any] | None) -> str:
    if distribution is None:
        return "given one value"
    a = distribution["attributes"]
    if "choices" in a:
        return f"out of {', '.join(str(c) for c in a['choices'])}"
    step = f" in steps of {a['step']}" if a.get("step") not in (None, 1) else ""
    return f"from {a['low']} to {a['high']}{step}{' (log)' if a.get('log') else ''}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
