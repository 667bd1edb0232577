"""Checkpoints of the best settings are kept, what a dead trial has done is taken over, and no link is followed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial

from frostline.search.best import best_settings
from frostline.search.disk_space import free_space
from frostline.search.failures import fail_trial
from frostline.search.repeats import CORRECT
from frostline.search.study import Plan, begin_study
from frostline.search.takeover import take_over
from tests.search.plans import GRID

SPACE = {"freeze": IntDistribution(0, 345), "seed": IntDistribution(0, 9)}


def plan_of(cells: dict[int, tuple[int, ...]]) -> Plan:
    """A grid of depths, each with its seeds."""
    seeds = sorted({seed for of in cells.values() for seed in of})
    asked = [{"freeze": depth, "seed": seed} for depth, of in cells.items() for seed in of]
    return replace(GRID, space=SPACE, cells=asked, repeats=[{"seed": s} for s in seeds], trials=len(asked))


TWO_SEEDS = plan_of({10: (0, 1), 20: (0, 1), 30: (0, 1)})


def add(study: optuna.Study, folder: Path, depth: int, seed: int, value: float, tested: bool = False) -> Path:
    """A complete trial with a checkpoint; returns the checkpoint."""
    number = len(study.get_trials(deepcopy=False))
    attributes = {CORRECT: {}, **({"test/acc": 0.5} if tested else {})}
    params = {"freeze": depth, "seed": seed}
    study.add_trial(create_trial(params=params, distributions=SPACE, value=value, user_attrs=attributes))
    file = folder / f"trial-{number}" / "model.ckpt"
    file.parent.mkdir(parents=True)
    file.touch()
    return file


def test_the_best_settings_keep_the_checkpoints_of_all_their_seeds(url: str, tmp_path: Path) -> None:
    study = begin_study(url, TWO_SEEDS)
    low = [add(study, tmp_path, 10, 0, 0.9), add(study, tmp_path, 10, 1, 0.1)]
    high = [add(study, tmp_path, 20, 0, 0.6)]
    free_space(study, tmp_path, 1, is_done=False)
    assert all(f.exists() for f in (*low, *high))  # the second may still come to be the best
    high.append(add(study, tmp_path, 20, 1, 0.6))
    tested = add(study, tmp_path, 30, 0, 0.0, tested=True)
    free_space(study, tmp_path, -1, is_done=True)
    assert all(f.exists() for f in (*low, *high, tested))
    free_space(study, tmp_path, 1, is_done=False)
    assert [f.exists() for f in (*low, *high)] == [False, False, True, True]
    add(study, tmp_path, 30, 1, 0.0)
    free_space(study, tmp_path, 0, is_done=True)
    assert [f.exists() for f in (*low, *high, tested)] == [False] * 4 + [True]


def test_settings_that_were_asked_for_fewer_seeds_compete_on_those_that_all_have(url: str, tmp_path: Path) -> None:
    study = begin_study(url, plan_of({0: (0,), 80: (0,), 140: (0,)}))
    best = add(study, tmp_path, 0, 0, 0.9)
    others = [add(study, tmp_path, 80, 0, 0.7), add(study, tmp_path, 140, 0, 0.6)]
    begin_study(url, plan_of({80: (0, 1), 140: (0, 1)}))
    others += [add(study, tmp_path, 80, 1, 0.95), add(study, tmp_path, 140, 1, 0.6)]
    assert best_settings(study).settings == {"freeze": 0}
    free_space(study, tmp_path, 1, is_done=True)
    assert [best.exists(), *(f.exists() for f in others)] == [True, False, False, False, False]


def test_what_a_stopped_trial_has_done_outlives_a_call_for_other_settings(url: str, tmp_path: Path) -> None:
    study = begin_study(url, plan_of({0: (0,), 80: (0,)}))
    study.enqueue_trial({"freeze": 80, "seed": 0})
    study.ask(SPACE)
    state = tmp_path / "trial-0" / "last.ckpt"
    state.parent.mkdir()
    state.touch()
    fail_trial(study, 0, "stopped", "", state.parent)
    add(study, tmp_path, 0, 0, 0.5)
    free_space(study, tmp_path, 1, is_done=True)
    assert state.exists()
    add(study, tmp_path, 80, 0, 0.5)
    free_space(study, tmp_path, 1, is_done=True)
    assert not state.exists()


def test_of_a_link_to_elsewhere_nothing_is_removed_or_moved(url: str, tmp_path: Path) -> None:
    study = begin_study(url, GRID)
    folder, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    elsewhere.mkdir()
    files = [elsewhere / name for name in ("model.ckpt", "last.ckpt", "history.csv")]
    for file in files:
        file.touch()
    folder.mkdir()
    for number in range(2):
        (folder / f"trial-{number}").symlink_to(elsewhere)
    study.ask(GRID.space)
    fail_trial(study, 0, "error", "", folder / "trial-0")
    study.enqueue_trial(study.get_trials()[0].params)
    study.ask(GRID.space)
    fail_trial(study, 1, "died", "", folder / "trial-1")
    (folder / "trial-2").mkdir()
    study.enqueue_trial(study.get_trials()[0].params)
    study.ask(GRID.space)
    assert take_over(study, 2, folder, needs_best=False) is None
    free_space(study, folder, 0, is_done=True)
    assert all(file.exists() for file in files)


@pytest.mark.parametrize("needs_best", [False, True])
def test_the_dead_trial_with_most_epochs_is_gone_on_with(needs_best: bool, url: str, tmp_path: Path) -> None:
    study = begin_study(url, GRID)
    for number, epochs in enumerate((2, 3, 0)):
        if number:
            study.enqueue_trial(study.get_trials()[0].params)
        study.ask(GRID.space)
        run = tmp_path / f"trial-{number}"
        run.mkdir()
        if epochs:
            (run / "history.csv").write_text("epoch\n" + "".join(f"{i}\n" for i in range(epochs)))
            for name in ("last.ckpt", "wandb_run_id.txt", "run.log", *(["model.ckpt"] if number == 0 else [])):
                (run / name).write_text(str(number))
            fail_trial(study, number, "died", "", run)
    assert take_over(study, 2, tmp_path, needs_best) == (0 if needs_best else 1)
    taken = {f.name for f in (tmp_path / "trial-2").iterdir()}
    assert taken == {"history.csv", "last.ckpt", "wandb_run_id.txt", *(["model.ckpt"] if needs_best else [])}
    assert study.get_trials()[2].state == TrialState.RUNNING
