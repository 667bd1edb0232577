"""How far an image is from those that a network was trained on, by what the network makes of them.

Distance to the k-th nearest training image in the directions of the features (Sun, Ming, Zhu and Li 2022,
arXiv:2204.06507). The limit is the distance that a share of validation images keeps: these are new patients of the same
kind. No test image is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAREST = 10
KEPT = 2000  # training images that are remembered; more are drawn from
SHARE = 0.99  # of validation images within the limit
SLACK = 0.02  # by which other numbers, bfloat16 in training, may move a distance


@dataclass(frozen=True)
class Familiar:
    """What training images look like to a network: features float32 [M, D], each of length 1, and the limit."""

    features: np.ndarray
    limit: float

    def distances(self, features: np.ndarray) -> np.ndarray:
        """How far images are, [N], by their features [N, D]; beyond 1 they are unlike."""
        cosine = np.clip(_directions(features) @ self.features.T, -1, 1)
        k = min(NEAREST, cosine.shape[1])
        kth = np.partition(cosine, -k, axis=1)[:, -k]
        far: np.ndarray = np.sqrt(np.maximum(2 - 2 * kth, 0)) / self.limit
        return far


def fit_familiar(train: np.ndarray, val: np.ndarray, seed: int) -> Familiar:
    """Remember the features [N, D] of training images, and set the limit by those of validation images."""
    if len(train) > KEPT:
        train = train[np.sort(np.random.default_rng(seed).permutation(len(train))[:KEPT])]
    known = Familiar(_directions(train), 1.0)
    limit = float(np.quantile(known.distances(val), SHARE, method="higher")) * (1 + SLACK)
    return Familiar(known.features, max(limit, 1e-6))


def _directions(features: np.ndarray) -> np.ndarray:
    values = features.astype(np.float32)
    directions: np.ndarray = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    return directions
