"""How much too high the highest of several is."""

from __future__ import annotations

import numpy as np
import pytest

from frostline.evaluation.flattery import correct_highest, resample
from frostline.evaluation.seeds import repeat
from frostline.task import LUNG


def test_whole_groups_are_drawn_and_as_many_as_there_are() -> None:
    groups = np.array(["b", "a", "b", "c"])
    counts = np.concatenate(list(resample(groups, repeats=600)))
    assert counts.shape == (600, 4)
    assert (counts[:, 0] == counts[:, 2]).all()
    assert (counts[:, [0, 1, 3]].sum(1) == 3).all()
    assert counts.mean(0) == pytest.approx(np.ones(4), abs=0.15)


def test_the_luck_of_seeds_is_taken_off_too() -> None:
    """Ten equal depths whose seeds differ by 6 points on the same 200 images: what is highest has lucky seeds."""
    rng = np.random.default_rng(0)
    targets, raw, corrected = np.zeros(200, int), [], []
    for _ in range(10):
        runs = {}
        for depth in range(10):
            levels = np.clip(0.8 + 0.06 * rng.standard_normal(3), 0.5, 1)
            rights = [np.arange(200) < round(200 * level) for level in levels]  # images make no difference
            runs[depth] = [0.1 + 0.7 * np.eye(3)[np.where(right, 0, 1)] for right in rights]
        of_depth = {d: repeat(r, targets, np.arange(200), LUNG, ["acc"])["acc"] for d, r in runs.items()}
        top = max(of_depth.values(), key=lambda r: r.mean)
        value, (low, high) = correct_highest(runs, top, targets, np.arange(200), LUNG, "acc")
        raw.append(top.mean - 0.8)
        corrected.append(value - 0.8)
        assert low < value < high
    assert np.mean(raw) > 0.035
    assert abs(np.mean(corrected)) < 0.02


def test_identical_depths_flatter_nobody_though_a_class_has_few_groups() -> None:
    rng = np.random.default_rng(0)
    targets = np.repeat([0, 1, 2], [6, 60, 60])
    groups = np.array([0, 0, 1, 1, 2, 2, *range(3, 123)])
    said = np.where(rng.random(126) < 0.85, targets, (targets + 1) % 3)
    runs = {depth: [0.1 + 0.7 * np.eye(3)[said]] * 2 for depth in (10, 20)}
    top = repeat(runs[10], targets, groups, LUNG, ["balanced_acc"])["balanced_acc"]
    value, (low, _) = correct_highest(runs, top, targets, groups, LUNG, "balanced_acc")
    assert value == pytest.approx(top.mean, abs=0.03)
    assert np.isnan(low)  # three groups of a class: no interval, and none is made up


def test_a_handful_of_groups_says_nothing_of_flattery() -> None:
    runs = {depth: [np.eye(3)[np.zeros(4, int)]] * 2 for depth in (10, 20)}
    top = repeat(runs[10], np.zeros(4, int), np.zeros(4), LUNG, ["acc"])["acc"]
    assert np.isnan(correct_highest(runs, top, np.zeros(4, int), np.zeros(4), LUNG, "acc")[0])
