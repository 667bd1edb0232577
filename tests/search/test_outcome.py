"""What a study says at its end."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline.search.outcome import accuracy_in_words, curve_of_study, show_results
from tests.search.made_runs import images_of, write_run
from tests.search.plans import GRID


def attributes(accuracy: float, lower: float | None, upper: float | None) -> dict[str, Any]:
    return {"test/acc": accuracy, "test/acc/lower": lower, "test/acc/upper": upper, "test/images": 40}


def test_runs_on_too_few_groups_are_told_without_an_interval() -> None:
    assert accuracy_in_words([attributes(0.9, None, None)]) == (
        "test accuracy: 90.0 %, one run on 40 images; no interval, for groups are too few"
    )
    several = accuracy_in_words([attributes(0.9, None, None), attributes(0.8, None, None)])
    assert several.startswith("test accuracy: 85.0 %, mean of 2 runs (80.0 to 90.0 %) on 40 images; no interval")


def test_intervals_of_several_runs_reach_from_the_lowest_to_the_highest_end() -> None:
    text = accuracy_in_words([attributes(0.9, 0.7, 0.95), attributes(0.8, 0.6, 0.9)])
    assert text.endswith("95 % intervals of single runs reach from 60.0 to 95.0 %")


def test_a_host_on_which_no_trial_ran_tells_of_the_study_without_curves(
    tmp_path: Path, call: Any, caplog: pytest.LogCaptureFixture
) -> None:
    queue, _ = call(GRID)
    while (trial := queue.ask()) is not None:
        queue.study.tell(trial, trial.params["freeze"] / 200)
    with caplog.at_level("INFO", logger="frostline"):
        assert show_results(queue.study, GRID, tmp_path / "depths", frozenset(), tmp_path) == {"freeze": 140}
    assert "no files here of trial 0, 1, 2" in caplog.text
    assert "there is no curve" in caplog.text
    assert not (tmp_path / "depths" / "freezing.png").exists()


def test_a_part_of_the_runs_makes_no_curve(tmp_path: Path, call: Any) -> None:
    queue, _ = call(GRID)
    folder, examples = tmp_path / "depths", images_of(0, groups=5)
    while (trial := queue.ask()) is not None:
        write_run(folder / f"trial-{trial.number}", trial.params, examples, np.ones(len(examples), bool))
        queue.study.tell(trial, 1.0)
    assert curve_of_study(queue.study, GRID, folder) is not None
    shutil.rmtree(folder / "trial-3")
    assert curve_of_study(queue.study, GRID, folder) is None
