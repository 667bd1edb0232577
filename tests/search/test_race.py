"""A study that is a race: depths that are shown worse get no further trials, and the page says so."""

from __future__ import annotations

import csv
import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution

from frostline.search.answers import keep_answers
from frostline.search.best import best_settings
from frostline.search.failures import fail_trial
from frostline.search.outcome import curve_of_study
from frostline.search.race import standing_of
from frostline.search.repeats import order_repeats
from frostline.search.study import Plan
from frostline.search.tables import settings_table, write_trials
from tests.search.made_runs import images_of, write_run
from tests.search.plans import GRID

DEPTHS = (10, 80, 140)
REPEATS = order_repeats({"seed": [0, 1], "data.val_fold": [0, 1, 2]})
PLAN = replace(
    GRID,
    name="race",
    space={
        "freeze": CategoricalDistribution(DEPTHS),
        "seed": IntDistribution(0, 1),
        "data.val_fold": IntDistribution(0, 2),
    },
    cells=[{"freeze": depth, **repeat} for repeat in REPEATS for depth in DEPTHS],
    trials=18,
    repeats=REPEATS,
    race=True,
)


def run(call: Any, folder: Path, levels: dict[int, float], plan: Plan = PLAN) -> Any:
    """The study with depths that are right that often; returns its queue."""
    queue, _ = call(plan)
    while (trial := queue.ask()) is not None:
        finish(queue, folder, trial, levels[trial.params["freeze"]])
    return queue


def finish(queue: Any, folder: Path, trial: Any, level: float) -> None:
    """End a trial whose network is right that often, as a run does."""
    p = trial.params
    fold = p.get("data.val_fold", 0)
    examples = images_of(fold, groups=15, images=1)
    rest = [e for other in range(3) if other != fold for e in images_of(other, groups=15, images=1)]
    correct = np.random.default_rng([*p.values()]).random(len(examples)) < level
    run_dir = folder / queue.plan.name / f"trial-{trial.number}"
    write_run(run_dir, p, examples, correct, rest)
    keep_answers(queue.study, trial, run_dir)
    queue.study.tell(trial, float(correct.mean()))


def test_a_depth_that_is_shown_worse_gets_no_further_trials_and_the_finding_says_so(call: Any, tmp_path: Path) -> None:
    queue = run(call, tmp_path, {10: 0.95, 80: 0.95, 140: 0.3})
    standing = standing_of(queue.study)
    assert [one.settings for one in standing.left] == [{"freeze": 140}]
    done = [t.params["freeze"] for t in queue.study.get_trials()]
    assert done.count(140) == standing.left[0].trials < 6
    assert done.count(10) == done.count(80) == 6
    curve = curve_of_study(queue.study, PLAN, tmp_path / "race")
    assert {d.freeze: d.verdict for d in curve.depths}[140] == "worse"
    assert curve.highest.freeze in (10, 80)
    assert any(f"shown worse: 140 (after {standing.left[0].trials} trainings)" in s for s in curve.in_words())


def test_a_race_with_one_left_ends(call: Any, tmp_path: Path) -> None:
    queue = run(call, tmp_path, {10: 0.3, 80: 0.98, 140: 0.3})
    standing = standing_of(queue.study)
    assert standing.decided
    assert standing.looks < standing.of
    assert len(queue.study.get_trials()) < 18
    curve = curve_of_study(queue.study, PLAN, tmp_path / "race")
    assert (curve.highest.freeze, curve.highest.verdict) == (80, "no worse")
    assert "The deepest depth shown to be no worse than the best by more than 2 points is 80" in curve.in_words()[1]


def test_equal_depths_run_to_the_end(call: Any, tmp_path: Path) -> None:
    queue = run(call, tmp_path, {10: 0.8, 80: 0.8, 140: 0.8})
    standing = standing_of(queue.study)
    assert (standing.left, standing.looks, standing.of) == ((), 2, 2)
    assert len(queue.study.get_trials()) == 18


def test_hosts_with_a_disk_each_judge_the_trials_of_all(call: Any, tmp_path: Path) -> None:
    disks = [tmp_path / "one", tmp_path / "other"]
    queues = [call(PLAN, folder=disk / "race")[0] for disk in disks]
    turns = itertools.cycle(zip(queues, disks, strict=True))
    for queue, disk in turns:
        if (trial := queue.ask()) is None:
            break
        finish(queue, disk, trial, 0.3 if trial.params["freeze"] == 140 else 0.95)
    standing = standing_of(queues[0].study)
    alone = run(call, tmp_path, {10: 0.95, 80: 0.95, 140: 0.3}, replace(PLAN, name="alone"))
    assert standing == standing_of(alone.study)
    assert [one.settings for one in standing.left] == [{"freeze": 140}]


def test_settings_that_are_scored_on_other_images_are_told_and_not_judged(
    call: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    queue, _ = call(TWO)
    while (trial := queue.ask()) is not None:
        run_dir = tmp_path / f"trial-{trial.number}"
        examples = images_of(trial.params["freeze"], groups=15, images=1)
        write_run(run_dir, trial.params, examples, np.full(len(examples), trial.params["freeze"] == 10))
        keep_answers(queue.study, trial, run_dir)
        queue.study.tell(trial, 0.5)
    assert standing_of(queue.study).left == ()
    assert "the race goes on without freeze=80: it was scored on other images than others" in caplog.text


def test_trials_that_kept_no_answers_are_told_and_nothing_leaves_unjudged(
    call: Any, caplog: pytest.LogCaptureFixture
) -> None:
    queue, _ = call(PLAN)
    while (trial := queue.ask()) is not None:
        queue.study.tell(trial, 0.9 if trial.params["freeze"] == 80 else 0.1)
    assert len(queue.study.get_trials()) == 18
    assert "the race goes on without freeze=10: " in caplog.text
    assert caplog.text.count("freeze=10: of an older version, it has not kept which images it has right") == 1


def test_the_table_of_settings_and_trials_csv_say_why_each_ended(call: Any, tmp_path: Path) -> None:
    queue = run(call, tmp_path, {10: 0.95, 80: 0.95, 140: 0.3})
    trials, standing = queue.study.get_trials(), standing_of(queue.study)
    text = settings_table(trials, PLAN, standing)
    assert re.search(rf"140 +0\.\d+ +{standing.left[0].trials} of 6 +shown worse, by \d+\.\d points or more", text)
    assert re.search(r"10 +0\.9\d+ +6 of 6 +complete", text)
    assert "val/acc is pooled over 3 folds, mean of 2 seeds" in text
    write_trials(tmp_path / "trials.csv", trials, PLAN, standing)
    with (tmp_path / "trials.csv").open() as lines:
        told = [row for row in csv.DictReader(lines) if row["reason"]]
    assert [row["freeze"] for row in told] == ["140"]
    assert told[0]["reason"].startswith("left the race: shown worse than the best, by ")


TWO = replace(
    PLAN,
    name="race",
    space={"freeze": CategoricalDistribution((10, 80)), "seed": IntDistribution(0, 2)},
    repeats=(SEEDS := order_repeats({"seed": [0, 1, 2]})),
    cells=[{"freeze": depth, **seed} for seed in SEEDS for depth in (10, 80)],
    trials=6,
)


def test_what_left_a_race_is_not_the_best_however_many_of_its_trials_were_under_way(call: Any, tmp_path: Path) -> None:
    queue, _ = call(TWO)
    levels = {10: 0.3, 80: 0.98}
    for trial in [queue.ask() for _ in range(3)]:
        finish(queue, tmp_path, trial, levels[trial.params["freeze"]])
    last, extra = queue.ask(), queue.ask()  # two workers: the second is given a third seed of the depth that will leave
    assert (last.params, extra.params) == ({"freeze": 80, "seed": 1}, {"freeze": 10, "seed": 2})
    for trial in (last, extra):
        finish(queue, tmp_path, trial, levels[trial.params["freeze"]])
    assert queue.ask() is None
    assert [one.settings for one in standing_of(queue.study).left] == [{"freeze": 10}]
    best = best_settings(queue.study)
    assert (best.settings, len(best.repeats)) == ({"freeze": 80}, 2)
    assert curve_of_study(queue.study, TWO, tmp_path / "race").highest.freeze == 80


@pytest.mark.parametrize("kind", ["error", "diverged"])
def test_a_depth_that_fails_holds_up_no_look_and_does_not_leave_unjudged(call: Any, tmp_path: Path, kind: str) -> None:
    queue, _ = call(PLAN)
    while (trial := queue.ask()) is not None:
        p = trial.params
        if p["freeze"] == 10 and p["data.val_fold"] == 1:
            fail_trial(queue.study, trial.number, kind, "")
            continue
        finish(queue, tmp_path, trial, 0.95 if p["freeze"] == 80 else 0.3)
    standing = standing_of(queue.study)
    assert [one.settings for one in standing.left] == [{"freeze": 140}]
    assert best_settings(queue.study).settings == {"freeze": 80}


def test_one_depth_alone_is_no_race(call: Any) -> None:
    seeds = order_repeats({"seed": [0, 1, 2]})
    plan = replace(TWO, cells=[{"freeze": 80, **seed} for seed in seeds], trials=3)
    queue, _ = call(plan)
    seen = 0
    while (trial := queue.ask()) is not None:
        seen += 1
        queue.study.tell(trial, 0.5)
    assert seen == 3
