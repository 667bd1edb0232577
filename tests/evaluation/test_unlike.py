"""Images of another kind are far, by what a network makes of them or by their looks; new ones of the kind are not."""

from __future__ import annotations

import numpy as np
import pytest

from frostline.evaluation.unlike import KEPT, NEAREST, Familiar, fit_familiar

ONE, OTHER = np.eye(32)[0] * 3, np.eye(32)[1] * 3
LOOKS = np.linspace(0.2, 0.8, 16)


def images(rng: np.random.Generator, count: int, centre: np.ndarray, spread: float = 0.3) -> np.ndarray:
    return centre + rng.normal(0, spread, (count, len(centre)))


def looks(rng: np.random.Generator, count: int, centre: np.ndarray = LOOKS) -> np.ndarray:
    return images(rng, count, centre, 0.05)


def fitted(rng: np.random.Generator, train: np.ndarray | None = None) -> Familiar:
    train = images(rng, 300, ONE) if train is None else train
    return fit_familiar(train, looks(rng, len(train)), images(rng, 200, ONE), looks(rng, 200), seed=0)


def test_others_are_beyond_the_limit_and_new_ones_of_the_kind_within() -> None:
    rng = np.random.default_rng(0)
    familiar = fitted(rng)
    same = looks(rng, 500)
    assert (familiar.distances(images(rng, 500, ONE), same) > 1).mean() < 0.05
    assert (familiar.distances(images(rng, 500, OTHER), same) > 1).all()
    assert (familiar.distances(10 * images(rng, 500, ONE), same) > 1).mean() < 0.05  # directions, not lengths


def test_what_the_network_takes_for_the_same_is_told_by_its_looks() -> None:
    rng = np.random.default_rng(0)
    familiar = fitted(rng)
    for foreign in (1 - LOOKS, LOOKS[::-1], np.full(16, 1.0)):
        assert (familiar.distances(images(rng, 50, ONE), looks(rng, 50, foreign)) > 1).all()


def test_a_training_image_that_lies_alone_does_not_make_its_neighbours_familiar() -> None:
    rng = np.random.default_rng(0)
    familiar = fitted(rng, np.vstack([images(rng, 100, ONE), images(rng, NEAREST - 1, OTHER)]))
    assert (familiar.distances(images(rng, 50, OTHER), looks(rng, 50)) > 1).all()


def test_few_and_many_training_images_will_do() -> None:
    rng = np.random.default_rng(0)
    few = fit_familiar(rng.normal(size=(3, 8)), looks(rng, 3), rng.normal(size=(5, 8)), looks(rng, 5), seed=0)
    assert np.isfinite(few.distances(rng.normal(size=(2, 8)), looks(rng, 2))).all()
    many = fitted(rng, images(rng, KEPT + 50, ONE))
    assert many.features.shape == (KEPT, 32)
    assert np.linalg.norm(many.features, axis=1) == pytest.approx(np.ones(KEPT), abs=1e-5)
