"""A plan is what the command line says, and settings are taken over only where they may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from frostline.config.compose import compose_config
from frostline.config.schema import RunConfig, SearchConfig
from frostline.errors import ConfigError, FrostlineError
from frostline.search.planning import Planned, plan_study
from frostline.search.space import Space
from frostline.search.study import begin_study
from tests.conftest import TINY

DEPTHS: Space = {"freeze": IntDistribution(10, 20, step=10)}
RATES: Space = {
    "optimizer": CategoricalDistribution(["adam", "sgd"]),
    "optimizer.lr": FloatDistribution(1e-3, 1e-1, log=True),
}
SMALL = [o for o in TINY if not o.startswith("freeze=")]


@pytest.fixture
def plan(logs_dir: Path, url: str) -> Any:
    """Plan a study of the tiny network."""

    def compose(overrides: Sequence[str], settings: Mapping[str, Any]) -> RunConfig:
        given = [*SMALL, f"logs_dir={logs_dir}", *overrides, *(f"{k}={v}" for k, v in settings.items())]
        return compose_config(given)

    def planned(space: Space, *given: str, is_grid: bool = True, **search: Any) -> Planned:
        return plan_study(SearchConfig(**search), space, given, compose, url, is_grid=is_grid)

    return planned


def test_a_grid_is_planned_whole_and_what_is_searched_is_not_fixed(plan: Any) -> None:
    planned = plan(DEPTHS, "study=depths", "optimizer.lr=0.01")
    assert planned.plan.cells == [{"freeze": 10}, {"freeze": 20}]
    assert (planned.plan.name, planned.plan.trials, planned.plan.first) == ("depths", 2, [])
    assert planned.plan.fixed["optimizer.lr"] == 0.01
    assert not {"freeze", "study", "logs_dir", "logger.name", "test"} & {*planned.plan.fixed}
    assert plan(DEPTHS).plan.name == "grid-freeze"


def test_a_search_begins_with_what_runs_have_without_it_for_every_optimiser(plan: Any) -> None:
    planned = plan(RATES, "study=rates", is_grid=False, n_trials=7)
    assert planned.plan.cells is None
    assert planned.plan.trials == 7
    assert [settings["optimizer"] for settings in planned.plan.first if "optimizer" in settings] == ["adam", "sgd"]
    assert "optimizer=adamax, what a run has without the search, is not in the searched space" in planned.notes[-1]


def test_a_wrong_value_is_told_before_anything_starts(plan: Any) -> None:
    with pytest.raises(ConfigError, match=r"freeze=4000: this backbone has"):
        plan({"freeze": CategoricalDistribution([0, 4000])})


def test_weights_that_are_not_to_be_had_are_told_before_anything_starts(plan: Any, tmp_path: Path) -> None:
    other = tmp_path / "other.pt"
    torch.save({"conv1.weight": torch.zeros(1)}, other)
    with pytest.raises(FrostlineError, match=r"other\.pt does not fit this backbone: \d+ tensors are missing"):
        plan(DEPTHS, f"model.weights={other}")
    with pytest.raises(ConfigError, match=r"gone\.pt: no such file"):
        plan({"model.weights": CategoricalDistribution([str(tmp_path / "gone.pt")])})


def test_settings_are_taken_over_on_the_same_images_in_the_same_split_alone(plan: Any, url: str) -> None:
    with pytest.raises(ConfigError, match=r"no finished study 'rates' .* -m hparams_search=phase1 study=rates"):
        plan(DEPTHS, start_from="rates")
    source = plan(RATES, "study=rates", is_grid=False).plan
    study = begin_study(url, source)
    study.enqueue_trial({"optimizer": "sgd", "optimizer.lr": 0.02})
    study.tell(study.ask(source.space), 0.7)

    planned = plan(DEPTHS, "study=depths", start_from="rates")
    assert planned.overrides == ["optimizer=sgd", "optimizer.lr=0.02", "study=depths"]
    assert planned.notes[0].startswith("taken over from study rates, trial 0 (val/acc 0.700): optimizer=sgd")
    assert planned.notes[-1].startswith("note    seed 0 chose these settings in study rates: where other options are")
    others = plan({**DEPTHS, "seed": CategoricalDistribution([1, 2])}, "study=depths", start_from="rates")
    assert not any("chose these settings" in note for note in others.notes)
    assert plan(DEPTHS, "optimizer.lr=0.05", start_from="rates").plan.fixed["optimizer.lr"] == 0.05
    with pytest.raises(ConfigError, match=r"start_from=rates: that study was made with data\.split_seed=0"):
        plan(DEPTHS, "data.split_seed=9", start_from="rates")
    with pytest.raises(ConfigError, match=r"start_from=rates: that study was made on other images"):
        plan(DEPTHS, "data.phantom.seed=9", start_from="rates")


def test_seeds_that_change_another_option_are_no_repeats_of_a_setting(plan: Any) -> None:
    seeds: Space = {"seed": CategoricalDistribution([10, 20])}
    with pytest.raises(ConfigError, match="freeze is 10 with one seed or fold and 20 with another"):
        plan(seeds, "freeze=${seed}")
    assert plan(seeds, "freeze=10").plan.repeats == [{"seed": 10}, {"seed": 20}]


MOMENTUM: Space = {
    "optimizer.options.momentum": FloatDistribution(0.5, 0.99),
    "optimizer": CategoricalDistribution(["adam", "sgd"]),
}
ONLY_SGD = {"optimizer.options.momentum": {"optimizer": ["sgd"]}}


def test_what_hangs_on_a_choice_is_planned_behind_it_and_tried_with_it(plan: Any) -> None:
    planned = plan(MOMENTUM, is_grid=False, only_if=ONLY_SGD).plan
    assert [*planned.space] == ["optimizer", "optimizer.options.momentum"]
    with pytest.raises(ConfigError, match=r"momentum=0\.5: adam has no such option"):
        plan(MOMENTUM, is_grid=False, only_if={"optimizer.options.momentum": {"optimizer": ["adam"]}})
    cells = plan(
        {**MOMENTUM, "optimizer.options.momentum": CategoricalDistribution([0.5, 0.9])}, only_if=ONLY_SGD
    ).plan.cells
    assert cells == [
        {"optimizer": "adam"},
        {"optimizer": "sgd", "optimizer.options.momentum": 0.5},
        {"optimizer": "sgd", "optimizer.options.momentum": 0.9},
    ]


@pytest.mark.parametrize(
    ("only_if", "message"),
    [
        ({"optimizer.options.momentum": "sgd"}, "only_if.optimizer.options.momentum=sgd: is written {OTHER: [VALUE"),
        ({"freeze": {"optimizer": ["sgd"]}}, "freeze is not searched, so it cannot hang on anything"),
        ({"optimizer": {"freeze": [1]}}, "optimizer hangs on freeze, which is not searched beside it"),
        ({"optimizer.options.momentum": {"optimizer": ["lion"]}}, "hangs on optimizer=lion, which is not searched"),
        (
            {**ONLY_SGD, "optimizer": {"optimizer.options.momentum": [0.9]}},
            "optimizer.options.momentum, optimizer hang on one another",
        ),
    ],
)
def test_conditions_that_cannot_be_are_refused_in_one_line(only_if: Any, message: str, plan: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        plan(MOMENTUM, is_grid=False, only_if=only_if)
    assert message in str(refused.value)


def test_a_space_that_is_smaller_than_the_trials_asked_for_is_run_whole(plan: Any) -> None:
    space = {"optimizer": CategoricalDistribution(["adam", "sgd"]), "data.batch_size": IntDistribution(8, 16, step=8)}
    planned = plan(space, is_grid=False, n_trials=20)
    assert planned.plan.trials == 4
    assert "the searched space holds 4 settings, and all of them are run" in "".join(planned.notes)
