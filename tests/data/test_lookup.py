"""The most alike image is that of highest correlation."""

from __future__ import annotations

import numpy as np
import pytest

from frostline.data import lookup
from frostline.data.lookup import find_most_alike

RNG = np.random.default_rng(2)
IMAGES = RNG.integers(0, 65536, (12, 64, 64)).astype(np.uint16)


@pytest.mark.parametrize("block", [5, 2048])
def test_the_nearest_is_that_of_highest_correlation(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "_BLOCK", block)
    mixed = (0.4 * IMAGES[RNG.permutation(12)] + 0.6 * IMAGES).astype(np.uint16)
    found, correlation = find_most_alike(mixed, IMAGES)
    exact = np.corrcoef(mixed.reshape(12, -1), IMAGES.reshape(12, -1))[:12, 12:]
    assert found.tolist() == exact.argmax(1).tolist()
    assert correlation == pytest.approx(exact.max(1), abs=5e-4)


def test_brightness_and_contrast_do_not_matter_and_of_equals_the_first_counts() -> None:
    darker = IMAGES[3:4] // 2
    found, correlation = find_most_alike(darker, np.concatenate([IMAGES, IMAGES]))
    assert found.tolist() == [3]
    assert correlation == pytest.approx([1.0], abs=5e-4)


def test_a_flat_image_is_like_no_other() -> None:
    flat = np.zeros((1, 64, 64), np.uint16)
    _, correlation = find_most_alike(flat, IMAGES)
    assert abs(correlation[0]) < 0.1
