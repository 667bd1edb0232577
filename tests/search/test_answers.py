"""What a trial keeps of its validation images in the study."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline.search.answers import IMAGES, answers_of, keep_answers
from tests.search.made_runs import images_of, write_run
from tests.search.plans import GRID


@pytest.mark.parametrize("groups", [1, 3, 11])
def test_what_is_kept_is_read_back_and_names_nobody(groups: int, call: Any, tmp_path: Path) -> None:
    queue, _ = call(GRID)
    examples = images_of(0, groups=groups)
    rng = np.random.default_rng(groups)
    kept = []
    for seed in (0, 1):
        trial = queue.ask()
        correct = rng.random(len(examples)) < 0.5
        write_run(tmp_path / f"run-{seed}", {"freeze": 10, "seed": seed}, examples, correct)
        keep_answers(queue.study, trial, tmp_path / f"run-{seed}")
        frozen = queue.study.get_trials()[trial.number]
        found = answers_of(queue.study.user_attrs, frozen)
        assert found is not None
        kept.append(found)
        assert found.correct.tolist() == correct.tolist()
        assert found.targets.tolist() == [k for k in range(3) for _ in range(3 * groups)]
        assert [len(set(of)) for of in (found.groups, zip(found.groups, found.targets, strict=True))] == [
            3 * groups
        ] * 2
        assert found.groups.dtype == int  # and no names
        text = json.dumps([frozen.user_attrs, queue.study.user_attrs])
        assert not any(e.group in text or e.sha256 in text for e in examples)
    assert kept[0].images == kept[1].images
    assert sum(name.startswith(IMAGES) for name in queue.study.user_attrs) == 1  # for both


def test_other_groups_of_the_same_images_are_told_apart(call: Any, tmp_path: Path) -> None:
    queue, _ = call(GRID)
    names = []
    for groups, images in ((3, 2), (2, 3)):
        trial = queue.ask()
        examples = images_of(0, groups=groups, images=images)
        write_run(tmp_path / f"run-{groups}", {"freeze": 10}, examples, np.ones(len(examples), bool))
        keep_answers(queue.study, trial, tmp_path / f"run-{groups}")
        names.append(answers_of(queue.study.user_attrs, queue.study.get_trials()[trial.number]).images)
    assert names[0] != names[1]


def test_a_trial_of_before_has_none(call: Any) -> None:
    queue, _ = call(GRID)
    trial = queue.ask()
    assert answers_of(queue.study.user_attrs, queue.study.get_trials()[trial.number]) is None


def test_a_group_that_is_in_several_folds_is_one(call: Any, tmp_path: Path) -> None:
    queue, _ = call(GRID)
    images = [replace(e, group=f"patient-{i % 5}") for i, e in enumerate(images_of(0, groups=4))]
    numbers: dict[str, set[int]] = {}
    for fold in (0, 1):
        trial = queue.ask()
        mine, rest = images[fold::2], images[1 - fold :: 2]
        write_run(tmp_path / f"run-{fold}", {"freeze": 10}, mine, np.ones(len(mine), bool), rest)
        keep_answers(queue.study, trial, tmp_path / f"run-{fold}")
        found = answers_of(queue.study.user_attrs, queue.study.get_trials()[trial.number])
        for example, number in zip(sorted(mine, key=lambda e: (e.sha256, e.path)), found.groups.tolist(), strict=True):
            numbers.setdefault(example.group, set()).add(number)
    assert len(numbers) == 5
    assert all(len(of) == 1 for of in numbers.values())
    assert len(set.union(*numbers.values())) == 5
