"""A search space: read from Hydra's overrides, held as Optuna's distributions."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ValueType
from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial, create_trial

from frostline.config.compose import flatten
from frostline.config.groups import all_options, list_groups
from frostline.config.schema import RunConfig
from frostline.errors import ConfigError, first_line
from frostline.installation import PROGRAM

Space = dict[str, BaseDistribution]
Conditions = Mapping[str, Mapping[str, Sequence[Any]]]
"""By option: by another one the values of which it takes one to exist."""
MOST_SETTINGS = 10_000  # of a space that are looked through


def read_space(preset: Mapping[str, Any], arguments: Sequence[str], loader: ConfigLoader) -> tuple[Space, list[str]]:
    """What `arguments`, Hydra's overrides, let vary, over what the preset does; and the overrides that stay.

    Raises `ConfigError` for one that cannot be searched, and Hydra's error for one that cannot be read.
    """
    given = {a.split("=", 1)[0]: a for a in arguments}  # of an option given twice the last counts
    if odd := [str(key) for key in preset if not is_option_of_a_run(str(key))]:
        raise ConfigError(f"hydra.sweeper.params: {odd[0]} is no option of a run; {PROGRAM} --help lists them")
    lines = [*(f"{k!s}={v}" for k, v in preset.items() if k not in given), *given.values()]
    space: Space = {}
    kept: list[str] = []
    for line in lines:
        [override] = OverridesParser.create(config_loader=loader).parse_overrides([line])
        if override.value_type == ValueType.GLOB_CHOICE_SWEEP:
            choices = [*override.sweep_string_iterator()]
            if not choices:
                raise ConfigError(f"{line}: fits no choice of {override.key_or_group}")
            line = f"{line.split('=', 1)[0]}=choice({','.join(choices)})"
        try:
            searched, _, _ = create_params_from_overrides([line])
        except (ValueError, AssertionError, NotImplementedError) as error:
            said = first_line(error)
            raise ConfigError(f"{line}: {'holds no value' if 'at least one value' in said else said}") from None
        space |= searched
        if not searched:
            kept.append(line)
    return space, kept


def cells_of(space: Mapping[str, BaseDistribution], only_if: Conditions | None = None) -> list[dict[str, Any]]:
    """All combinations of a grid, the last option moving fastest. Raises `ConfigError` for an interval."""
    return _combine({name: values_of(d) for name, d in space.items()}, only_if or {})


def settings_in(space: Mapping[str, BaseDistribution], only_if: Conditions) -> list[dict[str, Any]] | None:
    """All settings of a space without intervals, each once; None for one with intervals, or with too many."""
    if any(isinstance(d, IntDistribution) and (d.high - d.low) // d.step >= MOST_SETTINGS for d in space.values()):
        return None
    values = {name: _whole_values(d) for name, d in space.items()}
    if not all(values.values()) or math.prod(len(v or ()) for v in values.values()) > MOST_SETTINGS:
        return None
    return _combine(values, only_if)


def _whole_values(distribution: BaseDistribution) -> list[Any] | None:
    if isinstance(distribution, IntDistribution) and distribution.log:
        return list(range(distribution.low, distribution.high + 1))
    try:
        return values_of(distribution)
    except ConfigError:
        return None


def _combine(values: Mapping[str, Any], only_if: Conditions) -> list[dict[str, Any]]:
    combined: dict[tuple[tuple[str, Any], ...], dict[str, Any]] = {}
    for cell in itertools.product(*values.values()):
        settings = without_idle(dict(zip(values, cell, strict=True)), only_if)
        combined.setdefault(tuple(settings.items()), settings)
    return [*combined.values()]


def exists(name: str, settings: Mapping[str, Any], only_if: Conditions) -> bool:
    """Whether an option exists with these settings of those before it: all that it hangs on do, and have its values."""
    return all(parent in settings and settings[parent] in values for parent, values in only_if.get(name, {}).items())


def without_idle(settings: Mapping[str, Any], only_if: Conditions) -> dict[str, Any]:
    """Settings without those that do not exist beside the others; what one hangs on stands before it."""
    kept: dict[str, Any] = {}
    for name, value in settings.items():
        if exists(name, kept, only_if):
            kept[name] = value
    return kept


def draw_from(trial: Trial, space: Mapping[str, BaseDistribution], only_if: Conditions) -> dict[str, Any]:
    """Let a trial draw all options of the space that exist with what it has drawn before; returns them."""
    for name, d in space.items():
        if not exists(name, trial.params, only_if):
            continue
        if isinstance(d, CategoricalDistribution):
            trial.suggest_categorical(name, d.choices)
        elif isinstance(d, IntDistribution):
            trial.suggest_int(name, d.low, d.high, step=d.step, log=d.log)
        elif isinstance(d, FloatDistribution):
            trial.suggest_float(name, d.low, d.high, step=d.step, log=d.log)
    return trial.params


def read_conditions(given: Mapping[str, Any]) -> dict[str, dict[str, list[Any]]]:
    """Conditions as they stand in a file. Raises `ConfigError` for what is none."""
    conditions = {}
    for name, parents in given.items():
        if not isinstance(parents, Mapping) or any(v is None or v == [] for v in parents.values()):
            raise ConfigError(
                f"hydra.sweeper.only_if.{name}={parents}: is written {{OTHER: [VALUE, ...]}}, by which it exists"
            )
        conditions[name] = {key: [*v] if isinstance(v, (list, tuple)) else [v] for key, v in parents.items()}
    return conditions


def order_space(space: Space, only_if: Conditions) -> Space:
    """The space with every option behind those that it hangs on. Raises `ConfigError` for conditions that cannot be."""
    for name, parents in only_if.items():
        if name not in space:
            raise ConfigError(f"hydra.sweeper.only_if: {name} is not searched, so it cannot hang on anything")
        for parent, values in parents.items():
            if parent not in space or parent == name:
                raise ConfigError(f"hydra.sweeper.only_if: {name} hangs on {parent}, which is not searched beside it")
            for value in values:
                if not holds(space[parent], value):
                    raise ConfigError(f"hydra.sweeper.only_if: {name} hangs on {parent}={value}, which is not searched")
    ordered: Space = {}
    while left := [name for name in space if name not in ordered]:
        ready = [name for name in left if set(only_if.get(name, ())) <= set(ordered)]
        if not ready:
            raise ConfigError(f"hydra.sweeper.only_if: {', '.join(left)} hang on one another")
        ordered |= {name: space[name] for name in ready}
    return ordered


def values_of(distribution: BaseDistribution) -> list[Any]:
    """All values, in order. Raises `ConfigError` for an interval."""
    d = distribution
    if isinstance(d, CategoricalDistribution):
        return list(d.choices)
    if isinstance(d, IntDistribution) and not d.log:
        return list(range(d.low, d.high + 1, d.step))
    if isinstance(d, FloatDistribution) and d.step:
        return [d.low + i * d.step for i in range(round((d.high - d.low) / d.step) + 1)]
    raise ConfigError(
        "a grid takes choices and ranges; an interval needs a sampler: hydra/sweeper/sampler=tpe and "
        "hydra.sweeper.n_trials=N"
    )


def open_ended(distribution: BaseDistribution) -> BaseDistribution:
    """The distribution of a grid's option as its study keeps it: numbers as a range, to which more can be added later.

    Optuna takes further values of a range, and never a further choice.
    """
    values = values_of(distribution)
    if any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in values):
        return distribution
    if all(isinstance(v, int) for v in values):
        return IntDistribution(min(values), max(values))
    return FloatDistribution(float(min(values)), float(max(values)))


def first_of_each(space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """One setting of the space."""
    return {name: d.choices[0] if isinstance(d, CategoricalDistribution) else d.low for name, d in space.items()}  # type: ignore[attr-defined]  # ints and floats have one


def inside(config: RunConfig, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """The settings of `config` that lie in the space."""
    return {name: v for name, v in _values_of(config, space).items() if holds(space[name], v)}


def outside(config: RunConfig, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """The settings of `config` that do not."""
    return {name: v for name, v in _values_of(config, space).items() if not holds(space[name], v)}


def _values_of(config: RunConfig, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    flat = flatten(asdict(config))
    values = {name: flat.get(name, flat.get(f"{name}.name")) for name in space}
    return {name: v for name, v in values.items() if v is not None}


def holds(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value lies in a distribution."""
    try:
        create_trial(value=0.0, params={"x": value}, distributions={"x": distribution})
    except (ValueError, TypeError):
        return False
    return True


def check_settings(settings: Mapping[str, Any], source: str) -> None:
    """Raise `ConfigError` for settings out of a database that are no options of a run, or refer to something.

    They become overrides, and a database may be somebody else's.
    """
    for name, value in settings.items():
        if not is_option_of_a_run(name) or "${" in str(value) or "\n" in str(value):
            raise ConfigError(f"{source} holds {name}={value}: this is no option of a run with a plain value")


def is_option_of_a_run(name: str) -> bool:
    """Whether it names an option of a run, a group of `conf/`, or one of the free keys of an option."""
    options = all_options()
    free = any(
        allowed.startswith("a mapping") and name.startswith(f"{option}.") for option, (allowed, _) in options.items()
    )
    return (name in options or name in list_groups() or free) and not name.startswith("hydra")


def name_of_grid(space: Mapping[str, Any]) -> str:
    """What a study is called that has no name: after what it varies."""
    return "-".join(["grid", *(re.sub(r"\W+", "_", name) for name in space)])


def sets(overrides: Sequence[str], name: str) -> bool:
    """Whether one of `overrides` gives the option a value."""
    return any(o.split("=", 1)[0].lstrip("+") == name for o in overrides)
