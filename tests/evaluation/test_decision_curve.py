"""Net benefit: as by hand, between acting on all and on none, and a band that counts groups."""

from __future__ import annotations

import numpy as np
import pytest

from frostline.evaluation.decision_curve import decision_curve


def some(images: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    positive = rng.random(images) < 0.3
    return np.clip(0.3 + 0.35 * positive + 0.2 * rng.normal(size=images), 0, 1), positive


def test_net_benefit_is_that_of_vickers_and_elkin() -> None:
    scores, positive = some()
    curve = decision_curve(scores, positive, np.arange(200), thresholds=np.array([0.2, 0.5]))
    for t, benefit, everybody in zip(curve.thresholds, curve.model, curve.treat_all, strict=True):
        called = scores >= t
        by_hand = (called & positive).sum() / 200 - (called & ~positive).sum() / 200 * t / (1 - t)
        assert benefit == pytest.approx(by_hand)
        assert everybody == pytest.approx(positive.mean() - (1 - positive.mean()) * t / (1 - t))


def test_calling_everybody_is_acting_on_all_and_nobody_on_none() -> None:
    _, positive = some()
    every = decision_curve(np.ones(200), positive, np.arange(200))
    assert every.model == pytest.approx(every.treat_all)
    assert decision_curve(np.zeros(200), positive, np.arange(200)).model == pytest.approx(np.zeros(99))


def test_the_prevalence_of_the_images_gives_the_same_as_none_and_another_one_another_curve() -> None:
    scores, positive = some()
    plain = decision_curve(scores, positive, np.arange(200))
    given = decision_curve(scores, positive, np.arange(200), float(positive.mean()))
    assert given.model == pytest.approx(plain.model)
    assert given.treat_all == pytest.approx(plain.treat_all)


def test_at_another_prevalence_the_probabilities_are_moved_to_it_so_acting_on_them_beats_all_and_none() -> None:
    rng = np.random.default_rng(0)
    odds = 2 * rng.normal(size=20_000)
    scores = 1 / (1 + np.exp(-odds))
    curve = decision_curve(scores, rng.random(20_000) < scores, np.arange(20_000), 0.05)
    assert curve.prevalence == 0.05
    assert curve.model.max() < 0.05
    assert (curve.model > np.maximum(0, curve.treat_all) - 0.002).all()
    assert curve.model[9] > 0.005  # from a probability of 10 % on


@pytest.mark.parametrize("prevalence", [None, 0.2])
def test_copies_of_images_do_not_narrow_the_band(prevalence: float | None) -> None:
    scores, positive = some()
    alone = decision_curve(scores, positive, np.arange(200), prevalence)
    groups = np.repeat(np.arange(200), 5)
    copied = decision_curve(np.repeat(scores, 5), np.repeat(positive, 5), groups, prevalence)
    assert copied.upper - copied.lower == pytest.approx(alone.upper - alone.lower)
    two = decision_curve(scores, positive, np.arange(200) % 2, prevalence)
    assert np.isnan(two.lower).all()


@pytest.mark.parametrize("prevalence", [None, 0.1])
def test_the_band_holds_the_truth(prevalence: float | None) -> None:
    rng, held, at = np.random.default_rng(1), 0, np.array([0.3])
    share = 0.3 if prevalence is None else prevalence
    truth = share * 0.9 - (1 - share) * 0.2 * 0.3 / 0.7
    groups = np.repeat(np.arange(60), 3)
    for _ in range(400):
        positive = (rng.random(60) < 0.3)[groups]
        luck = np.where(rng.random(180) < 0.5, rng.random(60)[groups], rng.random(180))
        scores = np.where(positive, luck < 0.9, luck < 0.2).astype(float)
        curve = decision_curve(scores, positive, groups, prevalence, at)
        held += curve.lower[0] <= truth <= curve.upper[0]
    assert held / 400 > 0.92
