"""A study refuses to become another one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from frostline.errors import ConfigError, FrostlineError
from frostline.search.queue import TrialQueue
from frostline.search.study import Plan, begin_study, open_study, plan_for
from frostline.search.trials import trials_of
from tests.search.plans import DEPTHS, DRAWN, GRID


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"space": {"freeze": CategoricalDistribution([None, 10])}},
            "freeze from 10 to 140 in steps of 10, not out of None, 10",
        ),
        ({"space": {**GRID.space, "seed": IntDistribution(0, 2)}}, "seed given one value, not from 0 to 2"),
        ({"fixed": {**GRID.fixed, "optimizer.lr": 1e-3}}, "optimizer.lr=0.0001, not 0.001"),
        ({"data": "4567"}, "other images: files were added, removed or changed since"),
        ({"objective": "val/balanced_acc"}, "objective val/acc, not val/balanced_acc"),
        ({"pruner": {"name": "median", "options": {}}}, "pruner"),
        ({"margin": 0.05}, "margin 0.02, not 0.05"),
        ({"cells": None}, "another sampler"),
    ],
)
def test_another_study_under_the_same_name_is_refused_with_the_difference(
    change: dict[str, Any], message: str, url: str
) -> None:
    begin_study(url, GRID)
    with pytest.raises(ConfigError, match="start a new one with study=NAME") as refused:
        begin_study(url, replace(GRID, **change))
    assert f"study 'depths' was begun with {message}" in str(refused.value)
    begin_study(url, GRID)


def test_a_study_of_before_an_option_was_there_goes_on_with_its_default(url: str) -> None:
    begin_study(url, GRID)  # names no trainer.deterministic
    begin_study(url, replace(GRID, fixed={**GRID.fixed, "trainer.deterministic": False}))
    with pytest.raises(ConfigError, match=r"begun with trainer\.deterministic=false, not true"):
        begin_study(url, replace(GRID, fixed={**GRID.fixed, "trainer.deterministic": True}))


def test_a_study_of_before_margins_goes_on_with_the_usual_one(url: str) -> None:
    study = begin_study(url, GRID)
    study.set_user_attr("frostline", {k: v for k, v in study.user_attrs["frostline"].items() if k != "margin"})
    begin_study(url, GRID)
    with pytest.raises(ConfigError, match=r"begun with margin 0\.02, not 0\.1"):
        begin_study(url, replace(GRID, margin=0.1))


def test_more_trials_of_the_same_search_are_allowed(url: str) -> None:
    begin_study(url, DRAWN)
    begin_study(url, replace(DRAWN, trials=50))


def test_a_search_does_not_grow_by_what_it_draws_from(url: str) -> None:
    begin_study(url, DRAWN)
    wider = {**DRAWN.space, "optimizer.lr": FloatDistribution(1e-6, 1e-3, log=True)}
    with pytest.raises(ConfigError, match=r"optimizer\.lr from 1e-05 to 0\.001 \(log\), not from 1e-06"):
        begin_study(url, replace(DRAWN, space=wider))


def test_a_grid_keeps_every_cell_that_was_ever_asked_for(url: str) -> None:
    begin_study(url, GRID)
    more = replace(GRID, space={"freeze": IntDistribution(0, 345)}, cells=[{"freeze": d} for d in (345, 0, 20)])
    about = begin_study(url, more).user_attrs["frostline"]
    assert [cell["freeze"] for cell in about["cells"]] == [*DEPTHS, 345, 0]
    assert about["space"]["freeze"]["attributes"] == {"log": False, "step": 1, "low": 0, "high": 345}
    assert begin_study(url, GRID).user_attrs["frostline"]["cells"] == about["cells"]


def test_a_study_of_before_numbers_were_ranges_goes_on(url: str) -> None:
    def plan(distribution: Any) -> Plan:
        return replace(GRID, space={"freeze": distribution}, cells=[{"freeze": 80}, {"freeze": 0}])

    begin_study(url, plan(CategoricalDistribution([0, 80])))
    study = begin_study(url, plan(IntDistribution(0, 80)))
    study.enqueue_trial({"freeze": 80})
    assert study.ask(plan_for(study, plan(IntDistribution(0, 80))).space).params == {"freeze": 80}


def test_the_first_command_still_runs_after_a_study_was_given_several_seeds(url: str) -> None:
    one = replace(GRID, fixed={**GRID.fixed, "seed": 1})
    space, repeats = {**GRID.space, "seed": IntDistribution(1, 3)}, [{"seed": 1}, {"seed": 3}]
    begin_study(url, one)
    begin_study(url, replace(GRID, space=space, repeats=repeats, cells=[{"freeze": 10, **r} for r in repeats]))
    plan = plan_for(begin_study(url, one), one)
    assert plan.cells == [{"freeze": depth, "seed": 1} for depth in DEPTHS]
    assert (plan.repeats, "seed" in plan.fixed) == ([{"seed": 1}], False)


def test_a_study_of_one_value_grows_to_several_and_its_first_command_still_runs(url: str) -> None:
    one = replace(GRID, space={}, cells=[{}], fixed={**GRID.fixed, "freeze": 0})
    study = begin_study(url, one)
    study.tell(study.ask(), 0.5)
    study = begin_study(url, GRID)
    assert study.user_attrs["frostline"]["cells"] == [{"freeze": depth} for depth in (0, *DEPTHS)]
    assert study.user_attrs["frostline"]["space"]["freeze"]["attributes"]["low"] == 0
    assert [t.params for t in trials_of(study)] == [{"freeze": 0}]
    again = plan_for(begin_study(url, one), one)
    assert (again.cells, "freeze" in again.fixed) == ([{"freeze": 0}], False)
    wider: dict[str, Any] = {**GRID.space, "optimizer": CategoricalDistribution(["adam", "sgd"])}
    with pytest.raises(ConfigError, match=r"optimizer given one value, not out of adam, sgd"):  # a choice of files
        begin_study(url, replace(GRID, space=wider, cells=[{"freeze": 10, "optimizer": "sgd"}]))


def test_a_study_of_one_seed_grows_to_a_race_and_a_race_takes_no_further_option(url: str) -> None:
    one = replace(GRID, fixed={**GRID.fixed, "seed": 0})
    begin_study(url, one)
    repeats = [{"seed": s} for s in range(3)]
    cells = [{**cell, **r} for r in repeats for cell in GRID.cells or ()]
    raced = replace(GRID, space={**GRID.space, "seed": IntDistribution(0, 2)}, cells=cells, repeats=repeats, race=True)
    assert begin_study(url, raced).user_attrs["frostline"]["race"] is True
    begin_study(url, one)
    with pytest.raises(ConfigError, match="race true, not false"):
        begin_study(url, replace(raced, race=False))
    fixed = {k: v for k, v in raced.fixed.items() if k != "optimizer.lr"}
    wider = {**raced.space, "optimizer.lr": FloatDistribution(1e-5, 1e-4)}
    with pytest.raises(ConfigError, match=r"optimizer\.lr given one value, not from"):
        begin_study(url, replace(raced, space=wider, fixed=fixed, cells=[{**c, "optimizer.lr": 1e-4} for c in cells]))


def test_a_running_trial_of_a_study_of_one_value_is_not_begun_again_when_it_grows(url: str, tmp_path: Path) -> None:
    one = replace(GRID, space={}, cells=[{}], trials=1, fixed={**GRID.fixed, "freeze": 20})
    queue = TrialQueue(begin_study(url, one), one, tmp_path)
    with queue.hold_lock():
        assert queue.ask() is not None
        study = begin_study(url, GRID)
        other = TrialQueue(study, plan_for(study, GRID), tmp_path)
        with other.hold_lock():
            asked = [trial.params["freeze"] for trial in iter(other.ask, None)]
    assert sorted(asked) == sorted(set(DEPTHS) - {20})


@pytest.mark.parametrize(("had", "asked"), [(1.0, IntDistribution(1, 2)), (1, FloatDistribution(1.0, 2.0))])
def test_one_batch_and_all_batches_are_two_values(had: float, asked: Any, url: str) -> None:
    option = "trainer.limit_train_batches"
    begin_study(url, replace(GRID, fixed={**GRID.fixed, option: had}))
    with pytest.raises(ConfigError, match="limit_train_batches given one value"):
        begin_study(url, replace(GRID, space={**GRID.space, option: asked}, cells=[{"freeze": 10, option: 2}]))


def test_choices_in_another_order_are_the_same_choices(url: str) -> None:
    def plan(*names: str) -> Plan:
        space: dict[str, Any] = {"optimizer": CategoricalDistribution(names)}
        return replace(GRID, space=space, cells=[{"optimizer": name} for name in names])

    study = begin_study(url, plan("adam", "sgd"))
    assert study.ask(plan_for(study, plan("sgd", "adam")).space).params["optimizer"] in ("adam", "sgd")
    begin_study(url, plan("sgd", "adam"))
    with pytest.raises(ConfigError, match="optimizer out of adam, sgd, not out of adam, adamax"):
        begin_study(url, plan("adam", "adamax"))


def test_a_study_that_is_not_there_is_told_with_those_that_are(url: str) -> None:
    begin_study(url, GRID)
    with pytest.raises(ConfigError, match=r"there is no study 'phase1' in .*studies.db \(there: depths\)"):
        open_study(url, "phase1")


def test_a_file_that_is_no_database_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "studies.db").write_text("no database, " * 100)
    with pytest.raises(FrostlineError, match=r"cannot be opened as a database of studies") as refused:
        begin_study(f"sqlite:///{tmp_path}/studies.db", GRID)
    assert "\n" not in str(refused.value)


def test_a_wrong_pruner_leaves_no_study_behind(url: str) -> None:
    with pytest.raises(ConfigError):
        begin_study(url, replace(GRID, pruner={"name": "median", "options": {"warmup": 1}}))
    begin_study(url, GRID)
