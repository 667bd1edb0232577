"""Pruners by name: when a trial that does worse than others ends early; all of them Optuna's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from optuna import Study, pruners
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, Trial

from frostline.errors import ConfigError
from frostline.search.repeats import repeat_of


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


def should_prune(trial: Trial) -> bool:
    """Whether a trial should end early, by the trials of the same seed and fold: some folds are harder than others."""
    frozen = trial.study.get_trials(deepcopy=False)[trial.number]
    repeat = repeat_of(frozen.params)
    if not repeat:
        return trial.should_prune()
    return bool(trial.study.pruner.prune(_SameRepeat(trial.study, repeat), frozen))  # type: ignore[arg-type]  # a view


class _SameRepeat:
    """A study as its pruner sees it: with the trials of one repeat."""

    def __init__(self, study: Study, repeat: Mapping[str, Any]) -> None:
        self._whole, self._repeat = study, repeat

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def get_trials(self, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
        every = self._whole.get_trials(deepcopy=deepcopy, states=states)
        return [t for t in every if repeat_of(t.params) == self._repeat]
