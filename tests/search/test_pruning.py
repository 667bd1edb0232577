"""Pruners are Optuna's, by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from frostline.errors import ConfigError
from frostline.search.pruning import PRUNERS, build_pruner, should_prune
from frostline.search.study import begin_study
from tests.search.plans import DRAWN, GRID


@pytest.mark.parametrize("name", PRUNERS)
def test_every_pruner_is_built_and_judges_a_trial(name: str, url: str) -> None:
    options = {"lower": 0.6} if name == "threshold" else {}
    study = begin_study(url, replace(GRID, pruner={"name": name, "options": options}))
    trial = study.ask(GRID.space)
    for epoch in range(3):
        trial.report(0.5, epoch)
        assert trial.should_prune() in (True, False)


def test_the_patient_pruner_ends_a_trial_that_has_fallen_below_its_best() -> None:
    study = optuna.create_study(direction="maximize", pruner=build_pruner("patience", {"patience": 1}))
    trial = study.ask()
    decided = []
    for epoch, value in enumerate((0.1, 0.5, 0.4, 0.4, 0.4)):
        trial.report(value, epoch)
        decided.append(trial.should_prune())
    assert decided == [False, False, False, True, True]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("media", {}, r"hydra.sweeper.pruner=media: must be one of none, median"),
        (
            "median",
            {"warmup": 1},
            r"hydra.sweeper.pruner_options.median.warmup: median has no such option, it has n_startup",
        ),
        ("median", {"n_warmup_steps": -1}, r"median does not take them"),
    ],
)
def test_a_wrong_pruner_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_pruner(name, options)


def test_a_trial_is_pruned_by_trials_of_its_own_fold_alone(url: str) -> None:
    """On a hard fold a good setting is worse than any on an easy one: that says nothing of the setting."""
    space = {"lr": FloatDistribution(0, 1), "data.val_fold": IntDistribution(0, 1)}
    pruner = {"name": "median", "options": {"n_startup_trials": 2, "n_warmup_steps": 0}}
    study = begin_study(url, replace(DRAWN, space=space, pruner=pruner))

    def report(lr: float, fold: int, value: float) -> bool:
        study.enqueue_trial({"lr": lr, "data.val_fold": fold})
        trial = study.ask(space)
        trial.report(value, 0)
        pruned = should_prune(trial)
        study.tell(trial, value)
        return pruned

    for lr, easy, hard in ((0.1, 0.9, 0.5), (0.2, 0.92, 0.52), (0.3, 0.94, 0.54)):
        assert not report(lr, 0, easy)
        assert not report(lr, 1, hard)
    assert report(0.4, 0, 0.85)  # below the median of the easy fold
    assert not report(0.5, 1, 0.53)
    assert report(0.6, 1, 0.4)
