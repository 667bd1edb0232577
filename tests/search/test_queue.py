"""A study hands out every trial once, and does again what has died."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import optuna
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import Trial, TrialState

from frostline.search.best import best_settings
from frostline.search.failures import MOST_DEATHS, deaths_of, fail_trial, settled
from frostline.search.liveness import add_mark
from frostline.search.queue import TrialQueue
from frostline.search.repeats import key_of, settings_of
from frostline.search.study import begin_study
from tests.search.plans import DEPTHS, DRAWN, GRID


def die(life: Any) -> None:
    life.__exit__(None, None, None)


def values(queue: TrialQueue) -> Counter[Any]:
    return Counter(tuple(t.params.values()) for t in queue.study.get_trials() if t.state == TrialState.COMPLETE)


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
        queue = TrialQueue(study, plan, folder)
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


def test_a_grid_that_has_grown_runs_what_it_lacks(call: Any) -> None:
    fixed = {**GRID.fixed, "seed": 1}
    small = replace(GRID, fixed=fixed, cells=[{"freeze": 10}, {"freeze": 20}])
    queue, life = call(small)
    for _ in range(2):
        queue.study.tell(queue.ask(), 0.5)
    die(life)
    cells = [{"freeze": depth, "seed": seed} for seed in (2, 1) for depth in (45, 20, 10)]
    space = {"freeze": IntDistribution(10, 45), "seed": IntDistribution(1, 2)}
    repeats = [{"seed": 2}, {"seed": 1}]
    grown = replace(GRID, fixed=GRID.fixed, space=space, cells=cells, repeats=repeats, trials=6)
    queue, life = call(grown)
    seen = []
    while (trial := queue.ask()) is not None:
        seen.append((trial.params["seed"], trial.params["freeze"]))
        queue.study.tell(trial, 0.5)
    assert seen == [(2, 45), (2, 20), (2, 10), (1, 45)]  # those of before had seed 1
    die(life)
    assert len(best_settings(queue.study).repeats) == 2


def test_a_call_for_one_seed_does_its_cells_while_another_asks_for_more_seeds(call: Any) -> None:
    one = replace(GRID, fixed={**GRID.fixed, "seed": 0}, cells=[{"freeze": 10}, {"freeze": 40}])
    first, _ = call(one)
    first.study.tell(first.ask(), 0.5)
    space, repeats = {"freeze": IntDistribution(10, 40), "seed": IntDistribution(1, 2)}, [{"seed": 1}, {"seed": 2}]
    cells = [{"freeze": depth, **repeat} for repeat in repeats for depth in (10, 40)]
    other, _ = call(replace(GRID, space=space, cells=cells, repeats=repeats, trials=4))
    while (trial := other.ask()) is not None:
        other.study.tell(trial, 0.5)
    assert first.ask().params == {"freeze": 40}


def test_what_is_asked_for_beside_a_decided_race_is_run(call: Any) -> None:
    repeats = [{"seed": 0}, {"seed": 1}]
    cells = [{"freeze": depth, **repeat} for repeat in repeats for depth in (10, 20)]
    space = {"freeze": IntDistribution(10, 40), "seed": IntDistribution(0, 2)}
    raced = replace(GRID, space=space, cells=cells, repeats=repeats, trials=4, race=True)
    queue, life = call(raced)
    done = {"looks": 1, "of": 2, "left": [], "decided": True, "done": repeats, "cells": cells}
    queue.study.set_user_attr("race", done)
    assert queue.ask() is None
    die(life)
    more = [*cells, {"freeze": 40, "seed": 0}, {"freeze": 10, "seed": 2}]
    queue, _ = call(replace(raced, cells=more, repeats=[*repeats, {"seed": 2}]))
    assert [queue.ask().params for _ in range(2)] == more[-2:]
    assert queue.ask() is None


@pytest.mark.parametrize("sampler", [TPESampler, RandomSampler, NSGAIISampler])
@pytest.mark.parametrize("seeds", [1, 2])
def test_a_space_without_intervals_is_searched_without_drawing_twice(sampler: Any, seeds: int, call: Any) -> None:
    if seeds > 1 and sampler is NSGAIISampler:
        return  # refused by the sweeper
    space = {"optimizer": CategoricalDistribution(["adam", "sgd"]), "data.batch_size": IntDistribution(8, 32, step=8)}
    repeats = [{"seed": seed} for seed in range(seeds)]
    if seeds > 1:
        space["seed"] = IntDistribution(0, seeds - 1)
    plan = replace(DRAWN, space=space, trials=8 * seeds, repeats=repeats if seeds > 1 else [{}])
    queue, _ = call(plan, lambda position: sampler(seed=position))
    values = []
    while (trial := queue.ask()) is not None:
        values.append(tuple(trial.params.values()))
        queue.study.tell(trial, trial.params["data.batch_size"] / 100)
    assert len(values) == len(set(values)) == 8 * seeds
    assert all(t.state == TrialState.COMPLETE for t in queue.study.get_trials())


CONDITIONS = {"optimizer.options.momentum": {"optimizer": ["sgd"]}}


def test_an_option_that_hangs_on_another_is_drawn_where_it_exists_alone(call: Any) -> None:
    space: dict[str, Any] = {
        "optimizer": CategoricalDistribution(["adam", "sgd"]),
        "optimizer.options.momentum": FloatDistribution(0.5, 0.99),
    }
    plan = replace(DRAWN, space=space, trials=12, only_if=CONDITIONS)
    queue, _ = call(plan, lambda position: TPESampler(seed=position))
    seen = []
    while (trial := queue.ask()) is not None:
        seen.append(trial.params)
        queue.study.tell(trial, trial.params.get("optimizer.options.momentum", 0.1))
    assert {tuple(params) for params in seen} == {("optimizer",), ("optimizer", "optimizer.options.momentum")}
    assert all(("optimizer.options.momentum" in p) == (p["optimizer"] == "sgd") for p in seen)
    assert sum(p["optimizer"] == "adam" for p in seen) == 1  # there is nothing else to try of it
    assert len(seen) == 12


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
    job = FileLock(tmp_path / "depths" / f"trial-{trial.number}" / ".trial.lock")
    Path(job.lock_file).parent.mkdir(parents=True)
    with job:
        add_mark(trial, Path(job.lock_file), tmp_path / "depths")
        die(life)
        other, _ = call(GRID)
        assert other.ask().params == {"freeze": 20}
    assert other.ask().params == {"freeze": 10}


@pytest.mark.parametrize("plan", [GRID, replace(DRAWN, first=[{"optimizer": "sgd"}])], ids=["grid", "search"])
def test_what_another_host_was_given_at_that_moment_is_not_drawn_by_chance_instead(
    plan: Any, call: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, _ = call(plan)
    enqueue = queue.study.enqueue_trial
    taken = []

    def take(params: dict[str, Any]) -> None:
        enqueue(params)
        if not taken:
            taken.append(optuna.load_study(study_name=plan.name, storage=url).ask())

    monkeypatch.setattr(queue.study, "enqueue_trial", take)
    trial = queue.ask()
    states = [(t.state, t.user_attrs.get("failure", {}).get("kind")) for t in queue.study.get_trials()]
    assert states == [(TrialState.RUNNING, None), (TrialState.FAIL, "twice"), (TrialState.RUNNING, None)]
    if plan is GRID:
        assert trial.params == {"freeze": 20}


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
    first, life = call(GRID)
    trial = first.ask()
    fail_trial(first.study, trial.number, kind, "why")
    following = first.ask()
    assert following.params == {"freeze": 20}
    first.study.tell(following, 0.5)
    die(life)
    later, _ = call(GRID)
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


def test_a_time_limit_counts_as_a_death_where_a_trial_came_no_further(call: Any) -> None:
    for epochs in (2, 4, 4, 0):  # the first two have come further
        queue, life = call(GRID)
        trial = queue.ask()
        assert trial.params == {"freeze": 10}
        for epoch in range(epochs):
            trial.report(0.5, epoch)
        fail_trial(queue.study, trial.number, "time", "its job came to the time limit of the cluster")
        die(life)
    deaths = deaths_of({"freeze": 10}, queue.study.get_trials())
    assert [t.number for t in deaths] == [2, 3]


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
    assert len(settled(queue.study.get_trials(), queue.before)) == len(DEPTHS)
    die(life)
    assert call(GRID)[0].ask().params == {"freeze": 10}


def test_who_joins_a_call_is_part_of_it(call: Any) -> None:
    first, _ = call(GRID)
    fail_trial(first.study, first.ask().number, "error", "why")
    joined, _ = call(GRID)
    assert joined.joins
    assert joined.ask().params == {"freeze": 20}  # what failed in this call is not tried again in it


def test_processes_that_ask_at_once_draw_different_settings(url: str, tmp_path: Path) -> None:
    def sampler(position: int) -> optuna.samplers.BaseSampler:
        return optuna.samplers.RandomSampler(seed=position)

    plan = replace(DRAWN, trials=8)
    begin_study(url, plan)
    ready = Barrier(8)

    def ask(_: int) -> Any:
        queue = TrialQueue(begin_study(url, plan), plan, tmp_path / "drawn", sampler)
        with queue.hold_lock():
            ready.wait()
            drawn = queue.ask().params["optimizer.lr"]
            ready.wait()  # who leaves before the others have asked is dead to them, and done again
            return drawn

    with ThreadPoolExecutor(8) as threads:
        assert len({*threads.map(ask, range(8))}) == 8


FOLDED = replace(
    DRAWN,
    name="folded",
    space={**DRAWN.space, "data.val_fold": IntDistribution(0, 2)},
    repeats=[{"data.val_fold": fold} for fold in range(3)],
    trials=4 * 3,
    first=[{"optimizer": "sgd"}],
)


def work(queue: TrialQueue, end: Callable[[Trial], None]) -> list[dict[str, Any]]:
    seen = []
    while (trial := queue.ask()) is not None:
        seen.append(trial.params)
        end(trial)
    return seen


def test_every_setting_that_is_drawn_is_run_on_every_fold_before_the_next_is_drawn(call: Any) -> None:
    queue, _ = call(FOLDED, lambda position: RandomSampler(position))
    seen = work(queue, lambda trial: queue.study.tell(trial, 0.5))
    assert [p["data.val_fold"] for p in seen] == [0, 1, 2] * 4
    drawn = [settings_of(p) for p in seen]
    assert all(drawn[i] == drawn[i - i % 3] for i in range(12))
    assert len({key_of(s) for s in drawn}) == 4
    assert drawn[0]["optimizer"] == "sgd"


def test_settings_that_are_pruned_or_diverge_on_one_fold_are_not_run_on_the_others(call: Any) -> None:
    queue, _ = call(FOLDED, lambda position: RandomSampler(position))

    def end(trial: Trial) -> None:
        if trial.number == 0:
            trial.report(0.1, 0)
            queue.study.tell(trial, state=TrialState.PRUNED)
        elif trial.number == 2:
            fail_trial(queue.study, trial.number, "diverged", "")
        else:
            queue.study.tell(trial, 0.5)

    assert [p["data.val_fold"] for p in work(queue, end)] == [0, 0, 1, 0, 1, 2, 0, 1, 2]


def test_a_fold_whose_process_died_is_done_again(call: Any) -> None:
    first, life = call(FOLDED, lambda position: RandomSampler(position))
    begun = first.ask()
    die(life)
    queue, _ = call(FOLDED, lambda position: RandomSampler(position))
    seen = work(queue, lambda trial: queue.study.tell(trial, 0.5))
    assert seen[0] == begun.params
    assert len(seen) == 12


def test_a_sampler_sees_folds_as_one_score(call: Any) -> None:
    """TPE that began after 4 of 12 trials would have drawn by folds of a single setting."""
    known: list[list[float | None]] = []

    class Watching(RandomSampler):
        def sample_relative(self, study: Any, trial: Any, space: Any) -> dict[str, Any]:
            known.append([t.value for t in study.get_trials(deepcopy=False) if t.state == TrialState.COMPLETE])
            return {}

    queue, _ = call(FOLDED, Watching)
    values_of_folds = {0: 0.2, 1: 0.4, 2: 0.6}
    work(queue, lambda trial: queue.study.tell(trial, values_of_folds[trial.params["data.val_fold"]]))
    of_draws = [values for values in known if values or not known]
    assert [len(values) for values in of_draws] == [1, 2, 3]
    assert of_draws[-1] == pytest.approx([0.4] * 3)


FINITE = {"optimizer": CategoricalDistribution(["adam", "sgd"])}


def test_a_finite_space_is_drawn_on_folds_until_all_of_it_was_run(call: Any) -> None:
    plan = replace(DRAWN, name="finite", space=FINITE, trials=5)
    folds = [{"data.val_fold": fold} for fold in range(2)]
    plan = replace(
        plan, name="folds", space={**FINITE, "data.val_fold": IntDistribution(0, 1)}, repeats=folds, trials=10
    )
    queue, _ = call(plan, lambda position: RandomSampler(position))
    seen = work(queue, lambda trial: queue.study.tell(trial, 0.5))
    assert sorted((p["optimizer"], p["data.val_fold"]) for p in seen) == [
        *(("adam", 0), ("adam", 1), ("sgd", 0), ("sgd", 1))
    ]


def test_in_a_grid_too_what_diverges_on_one_fold_is_not_run_on_the_others(call: Any) -> None:
    folds = [{"data.val_fold": fold} for fold in range(3)]
    cells = [{"freeze": depth, **fold} for fold in folds for depth in (10, 20)]
    space = {**GRID.space, "data.val_fold": IntDistribution(0, 2)}
    queue, _ = call(replace(GRID, name="grid", space=space, cells=cells, repeats=folds, trials=6))

    def end(trial: Trial) -> None:
        if trial.params["freeze"] == 10:
            fail_trial(queue.study, trial.number, "diverged", "")
        else:
            queue.study.tell(trial, 0.5)

    assert [p["freeze"] for p in work(queue, end)] == [10, 20, 20, 20]


def test_a_cell_that_another_machine_is_just_drawing_is_given_back(url: str, tmp_path: Path) -> None:
    """Both machines have asked for the same cell; the first has its trial, and not yet told its settings."""
    study = begin_study(url, GRID)
    queue = TrialQueue(study, GRID, tmp_path / "other machine")
    study.enqueue_trial({"freeze": 10})
    study.ask()
    study.enqueue_trial({"freeze": 10})
    with queue.hold_lock():
        trial = queue.ask()
    assert trial is not None
    assert trial.params == {"freeze": 20}
    assert [t.user_attrs["failure"]["kind"] for t in study.trials if t.state == TrialState.FAIL] == ["twice"]
