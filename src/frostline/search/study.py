"""A study in its database: what it searches and keeps fixed, so that it cannot become another one unnoticed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import DuplicatedStudyError

from frostline.config.compose import former_options
from frostline.config.schema import SearchConfig
from frostline.errors import ConfigError
from frostline.search.pruning import build_pruner
from frostline.search.storage import open_storage
from frostline.text import hide_password

CREATED_S = 20.0  # between the creation of a study and what it is


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


def open_study(url: str, name: str) -> optuna.Study:
    """Open the study `name` with the pruner it was begun with. Raises `ConfigError` when there is none."""
    storage = open_storage(url)
    try:
        study = optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        known = ", ".join(sorted(optuna.get_all_study_names(storage))) or "none"
        raise ConfigError(f"there is no study {name!r} in {hide_password(url)} (there: {known})") from None
    pruner = study.user_attrs["frostline"]["pruner"]
    study.pruner = build_pruner(pruner["name"], pruner["options"])
    return study


def begin_study(url: str, plan: Plan) -> optuna.Study:
    """Open the study of `plan`, creating it the first time.

    Raises `ConfigError` when the study there searches another space, or other data, or keeps other options fixed.
    """
    pruner = build_pruner(plan.pruner["name"], plan.pruner["options"])  # a wrong one leaves no study behind
    storage = open_storage(url)
    now = {
        "objective": plan.objective,
        "space": {name: json.loads(distribution_to_json(d)) for name, d in plan.space.items()},
        "cells": plan.cells,
        "fixed": plan.fixed,
        "data": plan.data,
        "pruner": plan.pruner,
        "margin": plan.margin,
        "race": plan.race,
    }
    now = json.loads(json.dumps(now))
    try:  # whoever creates it says what it is: of two that come at a time one does
        study = optuna.create_study(study_name=plan.name, storage=storage, direction="maximize")
        then = None
    except DuplicatedStudyError:
        study = optuna.load_study(study_name=plan.name, storage=storage)
        then = _what_it_is(study)
    if then is None:
        study.set_user_attr("frostline", now)
    elif (difference := _difference(then, now)) is not None:
        raise ConfigError(
            f"study {plan.name!r} was begun with {difference}; start a new one with study=NAME, or with --name NAME of "
            "frostline study, or go on with the old options"
        )
    study.pruner = pruner
    return study


def _what_it_is(study: optuna.Study) -> dict[str, Any] | None:
    """What its creator says of it, waited for; None where that died before it could."""
    until = time.monotonic() + CREATED_S
    while True:
        said: dict[str, Any] | None = study.user_attrs.get("frostline")
        if said is not None or time.monotonic() > until:
            return said
        time.sleep(0.1)


def margin_of(about: Mapping[str, Any]) -> float:
    """The margin that a study keeps, by its attributes; studies of before had the usual one."""
    return float(about.get("margin", SearchConfig.margin))


def _difference(then: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """What makes the results of two plans not comparable, in words; None if nothing does."""
    for name in sorted({*then["space"], *now["space"]}):
        a, b = then["space"].get(name), now["space"].get(name)
        if a != b:
            return f"{name} {_in_words(a)}, not {_in_words(b)}"
    if _sorted(then["cells"]) != _sorted(now["cells"]):
        return "another grid" if then["cells"] and now["cells"] else "another sampler"
    defaults = former_options()
    for name in sorted({*then["fixed"], *now["fixed"]}):
        a, b = then["fixed"].get(name, defaults.get(name)), now["fixed"].get(name)
        if a != b:
            return f"{name}={_plain(a)}, not {_plain(b)}"
    then = {"margin": margin_of(then), "race": False, **then}
    for name in ("objective", "pruner", "margin", "race"):
        if then[name] != now[name]:
            return f"{name} {_plain(then[name])}, not {_plain(now[name])}"
    if then["data"] != now["data"]:
        return "other images: files were added, removed or changed since"
    return None


def _sorted(cells: list[dict[str, Any]] | None) -> list[str] | None:
    """Cells without their order, which may be another one than it was."""
    return None if cells is None else sorted(json.dumps(cell, sort_keys=True) for cell in cells)


def _in_words(distribution: Mapping[str, Any] | None) -> str:
    if distribution is None:
        return "not searched"
    a = distribution["attributes"]
    if "choices" in a:
        return f"out of {', '.join(str(c) for c in a['choices'])}"
    step = f" in steps of {a['step']}" if a.get("step") else ""
    return f"from {a['low']} to {a['high']}{step}{' (log)' if a.get('log') else ''}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
