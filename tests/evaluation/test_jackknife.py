"""The jackknife over groups against its definition and against repeated images."""

from __future__ import annotations

import numpy as np
import pytest

from frostline.evaluation import jackknife
from frostline.evaluation.jackknife import Jackknife, left_out
from frostline.evaluation.weighted_metrics import WeightedMetrics
from frostline.task import LUNG


def made(seed: int, images: int = 60) -> tuple[WeightedMetrics, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = np.arange(images) // 4 % 3
    p = (rng.dirichlet([1, 1, 1], images) + 0.4 * np.eye(3)[targets]) / 1.4
    return WeightedMetrics(p, targets, LUNG), p, targets, np.arange(images) // 4


def test_each_group_is_left_out_whole_and_once() -> None:
    groups = np.array(["b", "a", "b", "c"])
    assert np.concatenate(list(left_out(groups))).tolist() == [[1, 0, 1, 1], [0, 1, 0, 1], [1, 1, 1, 0]]


def test_the_variance_is_that_of_the_metric_without_each_group() -> None:
    weighted, p, targets, groups = made(0)
    found = Jackknife([weighted], groups)
    for key in ("acc", "f1_macro", "malignant/auroc", "loss"):
        kept = [groups != g for g in np.unique(groups)]
        without = np.array([WeightedMetrics(p[k], targets[k], LUNG).once()[key] for k in kept])
        expected = 14 / 15 * ((without - without.mean()) ** 2).sum()
        assert found.covariance(key) == pytest.approx(np.array([[expected]]), rel=1e-6), key


def test_two_predictions_that_fail_on_the_same_groups_vary_together() -> None:
    weighted, _, _, groups = made(0)
    other, *_ = made(1)
    covariance = Jackknife([weighted, weighted, other], groups).covariance("acc")
    assert covariance[0, 1] == pytest.approx(covariance[0, 0])
    assert abs(covariance[0, 2]) < 0.8 * covariance[0, 0]


def test_many_groups_are_put_together_and_the_variance_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 3000)
    weighted = WeightedMetrics(rng.dirichlet([1, 1, 1], 3000) + 0.4 * np.eye(3)[targets], targets, LUNG, ["acc"])
    monkeypatch.setattr(jackknife, "MOST_BLOCKS", 300)
    (variance,) = Jackknife([weighted], np.arange(3000)).covariance("acc").ravel()
    share = weighted.once()["acc"]
    assert variance == pytest.approx(share * (1 - share) / 3000, rel=0.3)


def test_one_group_alone_has_no_variance() -> None:
    weighted, *_ = made(0)
    assert np.isnan(Jackknife([weighted], np.zeros(60)).covariance("acc")).all()


def test_correlations_of_metrics_are_1_with_themselves_and_0_with_what_is_constant() -> None:
    weighted, *_, groups = made(0)
    correlation = Jackknife([weighted], groups).correlation(["acc", "recall_weighted", "balanced_acc"])
    assert correlation[0, 1] == pytest.approx(1)  # the same metric
    perfect = WeightedMetrics(np.eye(3)[np.arange(60) // 4 % 3], np.arange(60) // 4 % 3, LUNG)
    assert Jackknife([perfect], groups).correlation(["acc", "f1_macro"]).tolist() == [[1, 0], [0, 1]]
