"""How far an image is from those that a network was trained on: by what the network makes of it, and by how it looks.

A network can take anything for something that it knows, so both count. The limits are distances that a share of
validation images keeps: these are new patients of the same kind. No test image is used, and no training image is kept
that could be looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAREST = 10
KEPT = 2000  # training images that are remembered; more are drawn from
SHARE = 0.99  # of validation images within the limit
SLACK = 0.02  # by which other numbers, bfloat16 in training, may move a distance
SIDE = 8  # pixels of a thumbnail


@dataclass(frozen=True)
class Familiar:
    """What training images are like, and the limits of both distances.

    By features: the distance to the k-th nearest of `features`, float32 [M, D], each of length 1 (Sun, Ming, Zhu and
    Li 2022, arXiv:2204.06507). By looks: that of a thumbnail to their `mean` [T], by the inverse of their covariance,
    `precision` [T, T] (Mahalanobis; shrunk as Ledoit and Wolf 2004 do).
    """

    features: np.ndarray
    features_limit: float
    mean: np.ndarray
    precision: np.ndarray
    looks_limit: float
    rows: np.ndarray
    """Which training images they are, in the order of the run's manifest, int [M]; none where that was not kept."""

    def distances(self, features: np.ndarray, thumbnails: np.ndarray) -> np.ndarray:
        """How far images are, [N], by features [N, D] or thumbnails [N, T], whichever is farther; unlike beyond 1."""
        near = _to_nearest(features, self.features) / self.features_limit
        far: np.ndarray = np.maximum(near, _to_mean(thumbnails, self.mean, self.precision) / self.looks_limit)
        return far

    def nearest(self, features: np.ndarray) -> np.ndarray:
        """The training images by how alike they are by features [D], the likest first, as `rows`."""
        cosine = self.features[: len(self.rows)] @ _directions(features[None])[0]
        likest: np.ndarray = self.rows[np.argsort(-cosine, kind="stable")]
        return likest


def fit_familiar(
    train: np.ndarray, train_thumbnails: np.ndarray, val: np.ndarray, val_thumbnails: np.ndarray, seed: int
) -> Familiar:
    """Remember what training images are like, by features [N, D] and thumbnails [N, T], and set limits by validation.

    Both limits are exceeded by as many validation images, together by 1 - `SHARE`.
    """
    from sklearn.covariance import ledoit_wolf  # a second to import, and only needed after training

    rows = np.sort(np.random.default_rng(seed).permutation(len(train))[:KEPT])
    known, mean = _directions(train[rows]), train_thumbnails.mean(0)
    precision = np.linalg.inv(ledoit_wolf(train_thumbnails)[0] + 1e-6 * np.eye(len(mean)))
    by_features, by_looks = _to_nearest(val, known), _to_mean(val_thumbnails, mean, precision)
    limits = [max(float(np.quantile(d, SHARE, method="higher")), 1e-6) for d in (by_features, by_looks)]
    together = np.maximum(by_features / limits[0], by_looks / limits[1])
    wider = max(float(np.quantile(together, SHARE, method="higher")), 1e-6) * (1 + SLACK)
    return Familiar(known, limits[0] * wider, mean, precision, limits[1] * wider, rows)


def _to_nearest(features: np.ndarray, known: np.ndarray) -> np.ndarray:
    cosine = np.clip(_directions(features) @ known.T, -1, 1)
    k = min(NEAREST, cosine.shape[1])
    kth = np.partition(cosine, -k, axis=1)[:, -k]
    distance: np.ndarray = np.sqrt(np.maximum(2 - 2 * kth, 0))
    return distance


def _to_mean(thumbnails: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
    away = thumbnails - mean
    distance: np.ndarray = np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", away, precision, away), 0))
    return distance


def _directions(features: np.ndarray) -> np.ndarray:
    values = features.astype(np.float32)
    directions: np.ndarray = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    return directions
