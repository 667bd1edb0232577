"""From a command line to the plan of a study: what is searched, what is fixed, what is tried first."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

from frostline.config.compose import flatten
from frostline.config.groups import list_groups
from frostline.config.schema import RunConfig, SearchConfig, bearing
from frostline.data.splits import SPLITS
from frostline.errors import ConfigError
from frostline.installation import PROGRAM
from frostline.search.best import best_settings
from frostline.search.repeats import REPEATED, order_repeats, searched
from frostline.search.space import (
    Conditions,
    Space,
    cells_of,
    check_settings,
    first_of_each,
    inside,
    name_of_grid,
    open_ended,
    order_space,
    outside,
    read_conditions,
    sets,
    settings_in,
    values_of,
    without_idle,
)
from frostline.search.study import Plan, open_study

SPLIT = (
    "data.split",
    "data.fold",
    "data.val_fold",
    "data.patient_pattern",
    "data.similarity",
    "data.series_similarity",
    *(f"data.{s}_fraction" for s in SPLITS),
)


class Compose(Protocol):
    """The config of a run with these overrides and settings, checked."""

    def __call__(self, overrides: Sequence[str], settings: Mapping[str, Any]) -> RunConfig: ...


@dataclass(frozen=True)
class Planned:
    """A plan, the overrides that all of its trials share, and what the command line said before."""

    plan: Plan
    overrides: list[str]
    logs_dir: Path
    notes: list[str]
    """What to tell before the study begins."""
    files: dict[str, str]
    """Checksums of the data set's images by path."""


def plan_study(
    search: SearchConfig,
    space: Space,
    given: Sequence[str],
    compose: Compose,
    url: str,
    *,
    is_grid: bool,
    check_all: bool = True,
) -> Planned:
    """Plan the study of `space`, with the options `given` for all of its trials.

    Every setting of a grid is composed and checked, and weights are fetched and tried, so that what is wrong is told
    before anything starts; but for workers, whose sweep has done so. Raises `ConfigError` for what cannot be.
    """
    notes: list[str] = []
    taken_over = _take_over(search.start_from, url, space, given, notes) if search.start_from is not None else {}
    overrides = [*(f"{k}={v}" for k, v in taken_over.items()), *given]
    only_if = read_conditions(search.only_if)
    space = order_space(space, only_if)
    first = without_idle(first_of_each(space), only_if)
    base = compose(overrides, first)
    if base.preset:
        notes.append(base.preset)
    repeats = order_repeats({name: values_of(d) for name, d in space.items() if name in REPEATED})
    settings = cells_of(searched(space), only_if) if is_grid else None
    cells = None if settings is None else [{**setting, **repeat} for repeat in repeats for setting in settings]
    checked = [{**setting, **repeats[0]} for setting in settings or []]
    checked += _with_conditions(space, only_if)
    trials = [compose(overrides, one) for one in checked if check_all]
    for repeat in repeats[1:] if check_all else ():
        trials.append(compose(overrides, {**first, **repeat}))
        _refuse_other_settings(base, trials[-1], space, given)
    from frostline.data.dataset import fingerprint_data  # torch takes seconds to import: after these checks
    from frostline.models.freezing import check_depths
    from frostline.models.weights import check_weights
    from frostline.search.same_data import files_of

    check_depths((c.model.name, c.freeze, c.freeze_unit) for c in trials or [base])
    if check_all:
        check_weights((c.model.name, c.model.weights) for c in trials or [base])
    logs_dir = Path(base.logs_dir)
    every = settings_in(searched(space), only_if) if settings is None else None
    drawn = min(search.n_trials, len(every or ()) or search.n_trials)
    if drawn < search.n_trials:
        notes.append(f"note    the searched space holds {drawn} settings, and all of them are run")
    plan = Plan(
        name=base.study if base.study != RunConfig(freeze=0).study else name_of_grid(space),
        objective=base.trial.objective,
        space={name: open_ended(d) if is_grid or name in REPEATED else d for name, d in space.items()},
        cells=cells,
        trials=drawn * len(repeats) if cells is None else len(cells),
        pruner={"name": search.pruner, "options": search.pruner_options.get(search.pruner) or {}},
        margin=search.margin,
        fixed=_fixed(base, space, given),
        data=fingerprint_data(base.data, logs_dir / "cache"),
        first=_defaults(searched(space), only_if, overrides, compose) if cells is None else [],
        repeats=repeats,
        race=search.race and len(settings or []) > 1 and len({r.get("seed") for r in repeats}) > 1,
        only_if=only_if,
    )
    if cells is None:
        for name, value in outside(compose(overrides, repeats[0]), searched(space)).items():
            notes.append(f"note    {name}={value}, what a run has without the search, is not in the searched space")
    if search.start_from is not None:
        source = open_study(url, search.start_from)
        _refuse_other_data(search.start_from, source.user_attrs["frostline"], plan)
        if seeds := _seeds_again(source, plan):
            notes.append(
                f"note    seed {', '.join(map(str, seeds))} chose these settings in study {search.start_from}: where "
                "other options are as there, its luck counts again; take other seeds, as 'seed=range(1,4)'"
            )
    return Planned(plan, overrides, logs_dir, notes, files_of(base.data, logs_dir / "cache"))


def _with_conditions(space: Space, only_if: Conditions) -> list[dict[str, Any]]:
    """Settings in which every option that hangs on others exists once with each of their values."""
    found = []
    for name, parents in only_if.items():
        for values in itertools.product(*parents.values()):
            fixed = dict(zip(parents, values, strict=True))
            every = {**first_of_each(space), **fixed}
            for parent in parents:  # what it hangs on may itself hang on something
                every |= {k: v[0] for k, v in only_if.get(parent, {}).items() if k not in fixed}
            settings = without_idle(every, only_if)
            if name in settings:
                found.append(settings)
    return found


def _defaults(
    space: Mapping[str, BaseDistribution], only_if: Conditions, overrides: Sequence[str], compose: Compose
) -> list[dict[str, Any]]:
    """The settings that runs have without the search, so that it does not end below them: of every optimiser."""
    groups = {name: d for name, d in space.items() if name in list_groups()}
    choices = [{name: c} for name, d in groups.items() if isinstance(d, CategoricalDistribution) for c in d.choices]
    every = [inside(compose(overrides, settings), space) for settings in ({}, *choices)]
    defaults = [without_idle({name: one[name] for name in space if name in one}, only_if) for one in every]
    return [settings for i, settings in enumerate(defaults) if settings not in defaults[:i]]


def _refuse_other_settings(one: RunConfig, other: RunConfig, space: Space, given: Sequence[str]) -> None:
    """Raise `ConfigError` where two repeats differ in more than their seed and fold: they would be taken for one."""
    a, b = _fixed(one, space, given), _fixed(other, space, given)
    for name in a:
        if a[name] != b.get(name):
            raise ConfigError(
                f"{name} is {a[name]} with one seed or fold and {b.get(name)} with another: these repeat a setting and "
                f"change nothing else; search {name} beside them"
            )


def _fixed(config: RunConfig, space: Mapping[str, Any], given: Sequence[str]) -> dict[str, Any]:
    """The options that bear on a result, but for those that are searched; of a searched group those that are given."""
    flat = bearing(flatten(asdict(config)))
    searched = [k for k in flat if any(k == name or k.startswith(f"{name}.") for name in space)]
    # The classes are in the fingerprint of the data, and studies of before there was a choice do not name them.
    fixed = {k: v for k, v in flat.items() if k != "data.classes"}
    return {k: v for k, v in fixed.items() if k not in searched or (k not in space and sets(given, k))}


def _take_over(
    source: str, url: str, space: Mapping[str, Any], given: Sequence[str], notes: list[str]
) -> dict[str, Any]:
    """Best settings of the study `source`, but for what is searched or given here."""
    try:
        study = open_study(url, source)
        best = best_settings(study)
    except (ConfigError, LookupError):
        raise ConfigError(
            f"there is no finished study {source!r} to take the settings over from: run "
            f"`{PROGRAM} -m hparams_search=phase1 study={source}` first, or go on with the "
            "defaults by hydra.sweeper.start_from=null"
        ) from None
    check_settings(best.settings, f"study {source}")
    taken = {k: v for k, v in best.settings.items() if k not in space and not sets(given, k)}
    words = " ".join(f"{k}={v}" for k, v in taken.items())
    objective = study.user_attrs["frostline"]["objective"]
    notes.append(f"taken over from study {source}, trial {best.trial} ({objective} {best.value:.3f}): {words}")
    return taken


def _seeds_again(source: optuna.Study, plan: Plan) -> list[int]:
    """Seeds of `plan` by whose scores the settings were chosen that it takes over from `source`."""
    fixed = source.user_attrs["frostline"]["fixed"].get("seed")
    before = {t.params.get("seed", fixed) for t in source.get_trials(deepcopy=False)}
    return sorted(before & {r.get("seed", plan.fixed.get("seed")) for r in plan.repeats})


def _refuse_other_data(source: str, begun: Mapping[str, Any], plan: Plan) -> None:
    """Settings are taken over on the same images in the same split: what chose them must not be tested on."""
    split = [k for k, v in begun["fixed"].items() if k.startswith(SPLIT) and plan.fixed.get(k, v) != v]
    if begun["data"] != plan.data or split:
        other = f"with {split[0]}={begun['fixed'][split[0]]}" if split else "on other images"
        raise ConfigError(
            f"hydra.sweeper.start_from={source}: that study was made {other}, and its settings need not "
            "fit here, or were chosen by images that are test images now; search anew under another study=NAME, "
            "or take the defaults by hydra.sweeper.start_from=null"
        )
