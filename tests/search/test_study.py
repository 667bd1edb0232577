"""A study hands out every trial once, does again what has died, and refuses to become another one."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import optuna
import pytest
import torch
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from frostline.config.compose import compose_config
from frostline.errors import ConfigError, FrostlineError
from frostline.search.best import best_settings
from frostline.search.failures import MOST_DEATHS, fail_trial, is_held, settled
from frostline.search.objective import why_failed
from frostline.search.outcome import best_yaml
from frostline.search.pruning import PRUNERS, build_pruner
from frostline.search.queue import TrialQueue
from frostline.search.study import Plan, begin_study, open_study
from frostline.training.module import Diverged

DEPTHS = list(range(10, 150, 10))
GRID = Plan(
    name="depths",
    objective="val/acc",
    space={"freeze": IntDistribution(10, 140, step=10)},
    cells=[{"freeze": depth} for depth in DEPTHS],
    trials=len(DEPTHS),
    pruner={"name": "none", "options": {}},
    fixed={"optimizer.lr": 1e-4, "model.name": "resnet18"},
    data="0123",
    first=[],
)
DRAWN = replace(
    GRID,
    name="drawn",
    space={
        "optimizer": CategoricalDistribution(["adam", "sgd"]),
        "optimizer.lr": FloatDistribution(1e-5, 1e-3, log=True),
    },
    cells=None,
    trials=5,
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/studies.db"


@pytest.fixture
def call(url: str, tmp_path: Path) -> Iterator[Any]:
    """A call of the sweep: an queue whose lock is held until it dies."""
    living = []

    def begin(plan: Plan, began: datetime | None = None) -> tuple[TrialQueue, Any]:
        queue = TrialQueue(begin_study(url, plan), plan, tmp_path / plan.name, began or datetime.now())
        life = queue.hold_lock()
        life.__enter__()
        living.append(life)
        return queue, life

    yield begin
    for life in living:
        life.__exit__(None, None, None)


def die(life: Any) -> None:
    life.__exit__(None, None, None)


def values(queue: TrialQueue) -> Counter[Any]:
    return Counter(tuple(t.params.values()) for t in queue.study.get_trials() if t.state == TrialState.COMPLETE)


# --- what comes next -------------------------------------------------------------------------------------------------


def test_a_grid_is_every_cell_once_in_order_and_then_nothing(call: Any) -> None:
    queue, _ = call(GRID)
    seen = []
    while (trial := queue.ask()) is not None:
        seen.append(trial.params["freeze"])
        queue.study.tell(trial, 0.5)
    assert seen == DEPTHS
    assert call(GRID)[0].ask() is None


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ends=st.lists(st.sampled_from(["done", "done", "pruned", "killed"]), min_size=8, max_size=8))
def test_whoever_dies_in_between_every_cell_is_done_exactly_once(
    ends: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("grid")
    plan = replace(GRID, cells=GRID.cells[:4] if GRID.cells else None, trials=4)
    study = begin_study(f"sqlite:///{folder}/studies.db", plan)
    for end in itertools.chain(ends, itertools.repeat("done")):
        queue = TrialQueue(study, plan, folder, datetime.now())
        with queue.hold_lock():
            trial = queue.ask()
            if trial is None:
                break
            if end == "done":
                study.tell(trial, 0.5)
            elif end == "pruned":
                trial.report(0.1, 0)
                study.tell(trial, state=TrialState.PRUNED)
    finished = Counter(
        t.params["freeze"] for t in study.get_trials() if t.state in (TrialState.COMPLETE, TrialState.PRUNED)
    )
    dead = Counter(t.params["freeze"] for t in study.get_trials() if t.state == TrialState.FAIL)
    for depth in DEPTHS[:4]:  # settings that die again and again are given up
        assert finished[depth] == 1 or (finished[depth] == 0 and dead[depth] == MOST_DEATHS)


def test_two_processes_share_a_grid(call: Any) -> None:
    one, _ = call(GRID)
    other, _ = call(GRID)
    for queue in itertools.cycle((one, one, other)):
        trial = queue.ask()
        if trial is None:
            break
        queue.study.tell(trial, 0.5)
    assert values(one) == Counter((depth,) for depth in DEPTHS)


def test_a_living_trial_is_left_alone_and_one_whose_process_died_is_done_again(call: Any) -> None:
    first, life = call(GRID)
    begun = first.ask()
    other, _ = call(GRID)
    assert other.ask().params == {"freeze": 20}
    die(life)
    again = other.ask()
    assert (begun.params, again.params) == ({"freeze": 10}, {"freeze": 10})
    assert other.study.get_trials()[begun.number].user_attrs["failure"]["kind"] == "died"


def test_a_trial_lives_as_long_as_its_own_process_even_without_the_sweep(call: Any, tmp_path: Path) -> None:
    first, life = call(GRID)
    trial = first.ask()
    job = FileLock(trial.user_attrs["locks"][1])
    Path(job.lock_file).parent.mkdir(parents=True)
    with job:
        die(life)
        other, _ = call(GRID)
        assert other.ask().params == {"freeze": 20}
    assert other.ask().params == {"freeze": 10}


def test_a_search_counts_finished_trials_and_does_the_dead_again_with_their_settings(call: Any) -> None:
    first, life = call(DRAWN)
    done = first.ask()
    first.study.tell(done, 0.5)
    killed = first.ask()
    die(life)
    second, _ = call(DRAWN)
    again = second.ask()
    assert again.params == killed.params
    second.study.tell(again, 0.4)
    count = 2
    while (trial := second.ask()) is not None:
        second.study.tell(trial, 0.3)
        count += 1
    assert count == DRAWN.trials


@pytest.mark.parametrize(("kind", "again"), [("error", True), ("memory", False), ("diverged", False)])
def test_a_failure_is_tried_again_only_in_a_later_call_and_only_if_it_may_end_otherwise(
    kind: str, again: bool, call: Any
) -> None:
    first, _ = call(GRID)
    trial = first.ask()
    fail_trial(first.study, trial.number, kind, "why")
    assert first.ask().params == {"freeze": 20}
    later, _ = call(GRID, datetime.now() + timedelta(seconds=1))
    assert later.ask().params == ({"freeze": 10} if again else {"freeze": 30})


def test_a_search_tries_the_usual_settings_of_every_optimiser_first_and_once(call: Any) -> None:
    plan = replace(DRAWN, first=[{"optimizer": "sgd", "optimizer.lr": 8.7e-5}, {"optimizer": "adam"}])
    (one, _), (two, _) = call(plan), call(plan)
    trials = [queue.ask() for queue in (one, two, one, two, one)]
    assert trials[0].params == plan.first[0]
    assert trials[1].params["optimizer"] == "adam"  # its learning rate is drawn
    assert not any(t.params == plan.first[0] for t in trials[1:])
    assert one.ask() is None


def test_usual_settings_that_were_killed_are_done_again_as_they_were_drawn(call: Any) -> None:
    plan = replace(DRAWN, first=[{"optimizer": "adam"}])
    queue, life = call(plan)
    drawn = queue.ask().params
    die(life)
    assert call(plan)[0].ask().params == drawn


def test_settings_that_keep_killing_their_process_come_last_and_once_a_call(call: Any) -> None:
    for _ in range(MOST_DEATHS):
        queue, life = call(GRID)
        assert queue.ask().params == {"freeze": 10}
        die(life)
    queue, life = call(GRID)
    for depth in DEPTHS[1:]:
        trial = queue.ask()
        assert trial.params == {"freeze": depth}
        queue.study.tell(trial, 0.5)
    again = queue.ask()
    assert again.params == {"freeze": 10}
    fail_trial(queue.study, again.number, "died", "its process died")
    assert queue.ask() is None  # given up by this call
    assert len(settled(queue.study.get_trials(), queue.began)) == len(DEPTHS)
    die(life)
    assert call(GRID, datetime.now() + timedelta(seconds=1))[0].ask().params == {"freeze": 10}


def test_who_joins_a_call_is_part_of_it(call: Any) -> None:
    first, _ = call(GRID)
    first.study.set_user_attr("failures_since", first.began.isoformat())
    fail_trial(first.study, first.ask().number, "error", "why")
    joined, _ = call(GRID, datetime.now() + timedelta(seconds=1))
    assert joined.joins
    assert joined.began == first.began
    assert joined.ask().params == {"freeze": 20}  # what failed in this call is not tried again in it


def test_processes_that_ask_at_once_draw_different_settings(url: str, tmp_path: Path) -> None:
    def sampler(position: int) -> optuna.samplers.BaseSampler:
        return optuna.samplers.RandomSampler(seed=position)

    plan = replace(DRAWN, trials=8)
    begin_study(url, plan)
    ready = Barrier(8)

    def ask(_: int) -> Any:
        queue = TrialQueue(begin_study(url, plan), plan, tmp_path / "drawn", datetime.now(), sampler)
        with queue.hold_lock():
            ready.wait()
            drawn = queue.ask().params["optimizer.lr"]
            ready.wait()  # who leaves before the others have asked is dead to them, and done again
            return drawn

    with ThreadPoolExecutor(8) as threads:
        assert len({*threads.map(ask, range(8))}) == 8


def test_a_lock_is_held_only_while_its_process_holds_it(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    assert not is_held(file)
    with FileLock(file):
        assert is_held(file)
    assert not is_held(file)


# --- what a study is -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"space": {"freeze": IntDistribution(10, 100, step=10)}},
            "freeze from 10 to 140 in steps of 10, not from 10 to 100",
        ),
        ({"space": {**GRID.space, "seed": IntDistribution(0, 2)}}, "seed not searched, not from 0 to 2"),
        ({"fixed": {**GRID.fixed, "optimizer.lr": 1e-3}}, "optimizer.lr=0.0001, not 0.001"),
        ({"data": "4567"}, "other images: files were added, removed or changed since"),
        ({"objective": "val/balanced_acc"}, "objective val/acc, not val/balanced_acc"),
        ({"pruner": {"name": "median", "options": {}}}, "pruner"),
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


def test_more_trials_of_the_same_search_are_allowed(url: str) -> None:
    begin_study(url, DRAWN)
    begin_study(url, replace(DRAWN, trials=50))


def test_a_study_that_is_not_there_is_told_with_those_that_are(url: str) -> None:
    begin_study(url, GRID)
    with pytest.raises(ConfigError, match=r"there is no study 'phase1' in .*studies.db \(there: depths\)"):
        open_study(url, "phase1")


def test_a_file_that_is_no_database_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "studies.db").write_text("no database, " * 100)
    with pytest.raises(FrostlineError, match=r"cannot be opened as a database of studies") as refused:
        begin_study(f"sqlite:///{tmp_path}/studies.db", GRID)
    assert "\n" not in str(refused.value)


def test_best_is_the_highest_mean_over_seeds_not_the_highest_trial(url: str) -> None:
    space = {"freeze": IntDistribution(10, 20, step=10), "seed": IntDistribution(0, 1)}
    study = begin_study(url, replace(GRID, space=space))
    for freeze, seed, value in ((10, 0, 0.99), (10, 1, 0.11), (20, 0, 0.8), (20, 1, 0.9)):
        study.add_trial(
            optuna.trial.create_trial(params={"freeze": freeze, "seed": seed}, distributions=space, value=value)
        )
    best = best_settings(study)
    assert best.settings == {"freeze": 20}
    assert (best.trial, best.repeats, best.ties) == (3, 2, [])
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
    assert (best.settings, best.repeats, best.ties) == ({"freeze": 10}, 3, [{"freeze": 20}])


def test_a_study_without_a_complete_trial_has_no_best_settings(url: str) -> None:
    with pytest.raises(LookupError):
        best_settings(begin_study(url, GRID))


def test_best_settings_compose_to_the_run_that_they_describe(tmp_path: Path) -> None:
    overrides = ["hparams_search=phase1", "optimizer=adam", "data.folders={Bengin cases: benign}", "+logger.tags=[a]"]
    text = best_yaml("phase1", {"optimizer": "rmsprop", "optimizer.lr": 3e-4, "freeze": 40}, overrides)
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "experiment").mkdir()
    assert "hparams_search" not in text
    assert "override /optimizer: rmsprop" in text
    assert "override /optimizer: adam\n" not in text
    assert "lr: 0.0003" in text


def test_a_wrong_pruner_leaves_no_study_behind(url: str) -> None:
    with pytest.raises(ConfigError):
        begin_study(url, replace(GRID, pruner={"name": "median", "options": {"warmup": 1}}))
    begin_study(url, GRID)


# --- pruners and failures --------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried"),
            "memory",
            "batch 12 at 64 px does not fit",
        ),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "memory", "batch 12"),
        (MemoryError(), "memory", "batch 12"),
        (Diverged("the train loss is nan"), "diverged", "the train loss is nan"),
        (FrostlineError("split val is empty"), "error", "split val is empty"),
        (KeyError("x"), "error", "KeyError: 'x'"),
    ],
)
def test_a_batch_that_does_not_fit_is_told_apart_from_a_bug(error: Exception, kind: str, text: str) -> None:
    found = why_failed(error, compose_config([]))
    assert found[0] == kind
    assert text in found[1]
