"""Seeds and folds are run, not searched: in what order, and how they make one score."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, create_trial

from frostline.search.repeats import CORRECT, count_in_words, order_repeats, repeats_in_words, value_of

SPACE = {"freeze": IntDistribution(0, 100), "seed": IntDistribution(0, 9), "data.val_fold": IntDistribution(0, 9)}


def trial(seed: int, fold: int, benign: tuple[int, int], normal: tuple[int, int]) -> FrozenTrial:
    """A complete trial with so many right of so many images of each class."""
    params = {"freeze": 10, "seed": seed, "data.val_fold": fold}
    value = (benign[0] + normal[0]) / (benign[1] + normal[1])
    counts = {"benign": benign, "normal": normal} if benign[1] else {"normal": normal}
    return create_trial(params=params, distributions=SPACE, value=value, user_attrs={CORRECT: counts})


def test_folds_are_pooled_image_by_image_and_seeds_averaged() -> None:
    one = [trial(0, 0, (1, 2), (30, 30)), trial(0, 1, (1, 1), (5, 10))]
    other = [trial(1, 0, (2, 2), (30, 30)), trial(1, 1, (1, 1), (10, 10))]
    assert value_of(one, "val/acc") == pytest.approx(37 / 43)
    assert value_of(one, "val/balanced_acc") == pytest.approx((2 / 3 + 35 / 40) / 2)
    assert value_of([*one, *other], "val/acc") == pytest.approx((37 / 43 + 1) / 2)


def test_a_class_that_a_fold_lacks_is_counted_where_it_is() -> None:
    trials = [trial(0, 0, (0, 0), (5, 10)), trial(0, 1, (1, 1), (5, 10))]
    assert value_of(trials, "val/balanced_acc") == pytest.approx((1 + 0.5) / 2)


def test_trials_of_before_counts_were_kept_are_averaged() -> None:
    old = [
        create_trial(params={"freeze": 10, "seed": 0, "data.val_fold": f}, distributions=SPACE, value=v)
        for f, v in ((0, 0.5), (1, 0.7))
    ]
    assert value_of(old, "val/acc") == pytest.approx(0.6)


def test_two_seeds_of_the_first_fold_come_first_and_then_one_seed_of_every_fold_after_the_other() -> None:
    order = order_repeats({"data.val_fold": [0, 1, 2], "seed": [0, 1, 2]})
    pairs = [(r["data.val_fold"], r["seed"]) for r in order]
    assert pairs == [(0, 0), (0, 1), (1, 0), (2, 0), (1, 1), (2, 1), (0, 2), (1, 2), (2, 2)]


@given(seeds=st.lists(st.integers(0, 99), unique=True, max_size=4), folds=st.integers(0, 5))
def test_every_repeat_is_there_once(seeds: list[int], folds: int) -> None:
    values: dict[str, list[Any]] = ({"seed": seeds} if seeds else {}) | (
        {"data.val_fold": [*range(folds)]} if folds else {}
    )
    order = order_repeats(values)
    assert len(order) == max(1, len(seeds)) * max(1, folds) == len({tuple(r.items()) for r in order})


def test_words_say_how_a_score_comes_about() -> None:
    both = order_repeats({"seed": [0, 1], "data.val_fold": [0, 1, 2]})
    assert (count_in_words(both), repeats_in_words(both)) == (
        "3 folds and 2 seeds",
        "pooled over 3 folds, mean of 2 seeds",
    )
    assert repeats_in_words(order_repeats({"seed": [0, 1]})) == "mean of 2 seeds"
