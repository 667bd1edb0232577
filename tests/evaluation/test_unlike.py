"""Images of another kind are far, new ones of the same kind are not."""

from __future__ import annotations

import numpy as np
import pytest

from frostline.evaluation.unlike import KEPT, NEAREST, Familiar, fit_familiar


def images(rng: np.random.Generator, count: int, centre: np.ndarray) -> np.ndarray:
    return centre + rng.normal(0, 0.3, (count, len(centre)))


def test_others_are_beyond_the_limit_and_new_ones_of_the_kind_within() -> None:
    rng = np.random.default_rng(0)
    one, other = np.eye(32)[0] * 3, np.eye(32)[1] * 3
    familiar = fit_familiar(images(rng, 300, one), images(rng, 200, one), seed=0)
    assert (familiar.distances(images(rng, 500, one)) > 1).mean() < 0.04
    assert (familiar.distances(images(rng, 500, other)) > 1).all()
    assert (familiar.distances(10 * images(rng, 500, one)) > 1).mean() < 0.04  # directions, not lengths


def test_a_training_image_that_lies_alone_does_not_make_its_neighbours_familiar() -> None:
    rng = np.random.default_rng(0)
    one, other = np.eye(16)[0] * 3, np.eye(16)[1] * 3
    train = np.vstack([images(rng, 100, one), images(rng, NEAREST - 1, other)])
    familiar = fit_familiar(train, images(rng, 100, one), seed=0)
    assert (familiar.distances(images(rng, 50, other)) > 1).all()


def test_few_and_many_training_images_will_do() -> None:
    rng = np.random.default_rng(0)
    few = fit_familiar(rng.normal(size=(3, 8)), rng.normal(size=(5, 8)), seed=0)
    assert np.isfinite(few.distances(rng.normal(size=(2, 8)))).all()
    many = fit_familiar(rng.normal(size=(KEPT + 50, 4)), rng.normal(size=(5, 4)), seed=0)
    assert many.features.shape == (KEPT, 4)
    assert np.linalg.norm(many.features, axis=1) == pytest.approx(np.ones(KEPT), abs=1e-5)
    assert Familiar(np.eye(2, dtype=np.float32), 1.0).distances(np.zeros((1, 2))) == pytest.approx([2**0.5])
