"""Several trials at a time find what one after the other finds: the constant liar keeps them apart."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import Trial

from frostline.installation import CONF_DIR
from frostline.search.queue import TrialQueue
from frostline.search.study import Plan
from frostline.seeding import derive_seed
from tests.conftest import read_yaml

TPE = read_yaml(CONF_DIR / "hparams_search" / "phase1.yaml")["hydra"]["sweeper"]["sampler"]
PLAN = Plan(
    name="phase1",
    objective="val/acc",
    space={
        "optimizer": CategoricalDistribution(("adam", "adamax", "rmsprop")),
        "optimizer.lr": FloatDistribution(1e-5, 1e-3, log=True),
        "data.batch_size": CategoricalDistribution((8, 16, 32)),
    },
    cells=None,
    trials=40,
    pruner={"name": "none", "options": {}},
    margin=0.02,
    fixed={},
    data="",
    first=[],
)
PEAKS = {"adam": (0.94, -9.5), "adamax": (0.95, -8.5), "rmsprop": (0.93, -10.0)}


def accuracy(settings: dict[str, Any]) -> float:
    """What a training might come to: every optimiser has its own best learning rate."""
    height, rate = PEAKS[settings["optimizer"]]
    return float(
        height
        - 0.02 * (math.log(settings["optimizer.lr"]) - rate) ** 2
        - 0.005 * abs(math.log2(settings["data.batch_size"] / 16))
    )


def highest(folder: Path, sampler: Callable[[int], BaseSampler], at_a_time: int) -> float:
    """The highest value of a study whose trials end in the order in which they began."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    queue = TrialQueue(study, PLAN, folder, sampler)
    running: list[Trial] = []
    with queue.hold_lock():
        while True:
            while len(running) < at_a_time:
                trial = queue.ask()
                if trial is None:
                    break
                running.append(trial)
            if not running:
                return study.best_value
            trial = running.pop(0)
            study.tell(trial, accuracy(trial.params))


def test_four_workers_find_as_good_settings_as_one_in_as_many_trials(tmp_path: Path) -> None:
    def mean(at_a_time: int, build: Callable[[int], BaseSampler]) -> float:
        return statistics.mean(
            highest(tmp_path, lambda position, seed=seed: build(derive_seed(seed, position)), at_a_time)
            for seed in range(12)
        )

    def tpe(seed: int) -> BaseSampler:
        return TPESampler(**{**TPE, "seed": seed})

    alone, four = mean(1, tpe), mean(4, tpe)
    assert abs(alone - four) < 0.001
    assert min(alone, four) > mean(1, lambda seed: RandomSampler(seed)) + 0.0015
