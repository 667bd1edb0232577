"""Pruners by name: when a trial that does worse than others ends early; all of them Optuna's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from optuna import pruners
from optuna.exceptions import ExperimentalWarning

from frostline.errors import ConfigError


class Pruner(NamedTuple):
    """How to build one, the options it takes, and one line on it."""

    build: Callable[..., pruners.BasePruner]
    options: tuple[str, ...]
    meaning: str


def _patience(patience: int = 3, min_delta: float = 0.0) -> pruners.BasePruner:
    return pruners.PatientPruner(None, patience=patience, min_delta=min_delta)


OF_THE_MEDIAN = ("n_startup_trials", "n_warmup_steps", "interval_steps", "n_min_trials")
PRUNERS = {
    "none": Pruner(pruners.NopPruner, (), "every trial runs to its end"),
    "median": Pruner(pruners.MedianPruner, OF_THE_MEDIAN, "worse than the median of the others at the same epoch"),
    "hyperband": Pruner(
        pruners.HyperbandPruner,
        ("min_resource", "max_resource", "reduction_factor"),
        "several successive halvings (Li et al. 2018)",
    ),
    "halving": Pruner(
        pruners.SuccessiveHalvingPruner,
        ("min_resource", "reduction_factor", "min_early_stopping_rate"),
        "the better half goes on (Jamieson and Talwalkar 2016)",
    ),
    "patience": Pruner(_patience, ("patience", "min_delta"), "below its own best for more than `patience` epochs"),
    "threshold": Pruner(
        pruners.ThresholdPruner, ("lower", "upper", "n_warmup_steps", "interval_steps"), "below `lower`, e.g. chance"
    ),
}


def build_pruner(name: str, options: Mapping[str, Any]) -> pruners.BasePruner:
    """Build the pruner called `name`. Raises `ConfigError` for a name, option or value that it does not take."""
    if name not in PRUNERS:
        raise ConfigError(f"hydra.sweeper.pruner={name}: must be one of {', '.join(PRUNERS)}")
    pruner = PRUNERS[name]
    for key in options:
        if key not in pruner.options:
            raise ConfigError(
                f"hydra.sweeper.pruner_options.{name}.{key}: {name} has no such option, it has "
                f"{', '.join(pruner.options) or 'none'}"
            )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # Optuna calls `patience` experimental since 2021
            return pruner.build(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"hydra.sweeper.pruner_options.{name}={dict(options)}: {name} does not take them ({error})"
        ) from None
