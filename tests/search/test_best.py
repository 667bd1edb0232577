"""The best settings are the highest mean, and a file that composes to the same run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.distributions import IntDistribution

from frostline.config.compose import compose_config
from frostline.config.schema import RunConfig
from frostline.search.best import best_settings, best_yaml
from frostline.search.study import begin_study
from tests.search.plans import GRID


def test_best_is_the_highest_mean_over_seeds_not_the_highest_trial(url: str) -> None:
    space = {"freeze": IntDistribution(10, 20, step=10), "seed": IntDistribution(0, 1)}
    study = begin_study(url, replace(GRID, space=space))
    for freeze, seed, value in ((10, 0, 0.99), (10, 1, 0.11), (20, 0, 0.8), (20, 1, 0.9)):
        study.add_trial(
            optuna.trial.create_trial(params={"freeze": freeze, "seed": seed}, distributions=space, value=value)
        )
    best = best_settings(study)
    assert best.settings == {"freeze": 20}
    assert (best.trial, best.repeats, best.ties) == (3, ({"seed": 0}, {"seed": 1}), [])
    assert best.value == pytest.approx(0.85)


def test_equal_means_are_equal_however_they_add_up_and_one_lucky_seed_does_not_win(url: str) -> None:
    plan = replace(GRID, space={**GRID.space, "seed": IntDistribution(0, 2)}, cells=[])
    study = begin_study(url, plan)
    right = {10: (124, 125, 111), 20: (122, 120, 118), 30: (135,)}
    for freeze, values_of_seeds in right.items():
        for seed, count in enumerate(values_of_seeds):
            study.enqueue_trial({"freeze": freeze, "seed": seed})
            study.tell(study.ask(plan.space), count / 135)
    best = best_settings(study)
    assert (best.settings, len(best.repeats), best.ties) == ({"freeze": 10}, 3, [{"freeze": 20}])


def test_settings_that_a_sampler_draws_twice_are_no_two_seeds(url: str) -> None:
    study = begin_study(url, GRID)
    for freeze, value in ((10, 0.6), (80, 0.95), (10, 0.6)):
        study.add_trial(optuna.trial.create_trial(params={"freeze": freeze}, distributions=GRID.space, value=value))
    best = best_settings(study)
    assert (best.settings, best.repeats, best.value) == ({"freeze": 80}, ({},), 0.95)


def test_a_study_without_a_complete_trial_has_no_best_settings(url: str) -> None:
    with pytest.raises(LookupError):
        best_settings(begin_study(url, GRID))


def compose_best(folder: Path, text: str, *overrides: str) -> RunConfig:
    """What `train.py --config-dir=folder +phase2=best` runs."""
    (folder / "phase2").mkdir()
    (folder / "phase2" / "best.yaml").write_text(text)
    return compose_config([f"hydra.searchpath=[file://{folder}]", "+phase2=best", *overrides])


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["optimizer=rmsprop", "optimizer.lr=3e-4", "freeze=40"],
        ["model=efficientnet_b3", "scheduler=onecycle", "loss=focal", "logger=csv", "trainer.max_epochs=3"],
        ["model=torchvision", "model.name=densenet121", "model.head_widths=[]", "data.fold=1"],
        ["experiment=demo_study", "data.classes=[benign,malignant]", "optimizer.options={eps: 1e-5}"],
    ],
)
def test_best_settings_compose_to_the_run_that_they_describe(overrides: list[str], tmp_path: Path) -> None:
    best = compose_config([*overrides, "study=phase2", "trial.number=7", "test=false", "seed=5"])
    text = best_yaml("phase2", best)
    assert compose_best(tmp_path, text) == compose_config(overrides)


@pytest.mark.parametrize(
    ("group", "text"),
    [
        ("optimizer", "name: adam\nlr: 0.02\noptions: {}\n"),
        ("scheduler", "name: onecycle\noptions: {div_factor: 10}\n"),
    ],
)
def test_what_a_choice_of_the_users_leaves_out_does_not_come_back(group: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "own" / group).mkdir(parents=True)
    (tmp_path / "own" / group / "mine.yaml").write_text(text)
    best = compose_config([f"hydra.searchpath=[file://{tmp_path}/own]", f"{group}=mine"])
    assert compose_best(tmp_path, best_yaml("phase2", best)) == best


def test_best_settings_hold_the_values_of_choices_that_only_the_user_has(tmp_path: Path) -> None:
    own = tmp_path / "own"
    for group, text in (
        ("optimizer", "name: sgd\nlr: 0.02\noptions: {momentum: 0.8}\n"),
        ("experiment", "# @package _global_\ntrainer: {max_epochs: 3}\n"),
    ):
        (own / group).mkdir(parents=True)
        (own / group / "mine.yaml").write_text(text)
    best = compose_config([f"hydra.searchpath=[file://{own}]", "optimizer=mine", "experiment=mine"])
    text = best_yaml("phase2", best)
    assert "mine" not in text
    composed = compose_best(tmp_path, text)
    assert composed == best
    assert (composed.optimizer.name, composed.optimizer.options["momentum"]) == ("sgd", 0.8)
    assert composed.trainer.max_epochs == 3
