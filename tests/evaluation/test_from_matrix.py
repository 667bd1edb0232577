"""A confusion matrix gives every metric that does not ask for probabilities, as the images themselves would."""

from __future__ import annotations

import numpy as np
import pytest

from frostline.evaluation.from_matrix import metrics_of_matrix, values_of_matrix
from frostline.evaluation.intervals import NARROW, wilson
from frostline.evaluation.metrics import evaluate
from frostline.task import LUNG, Task
from tests.evaluation.test_metrics import REPORT, from_table


def test_its_metrics_are_those_of_images_with_that_table() -> None:
    given = metrics_of_matrix(REPORT, LUNG)
    of_images = evaluate("test", *from_table(REPORT), LUNG)
    for key, found in given.items():
        assert found.mean == pytest.approx(of_images[f"test/{key}"]), key
        assert found.interval[0] <= found.mean <= found.interval[1] + 1e-9, key
    assert (given["acc"].interval, given["acc"].narrow) == (wilson(144, 153), wilson(144, 153, NARROW))
    assert {"balanced_acc", "f1_weighted", "benign/recall", "malignant/specificity"} <= {*given}


def test_what_the_probabilities_decide_is_not_made_up() -> None:
    for table, task in ((REPORT, LUNG), (np.diag([5, 6, 7]), LUNG), (np.array([[3, 1], [0, 9]]), Task(("a", "b")))):
        given = metrics_of_matrix(table, task)
        assert not [key for key in given if "auroc" in key or key in ("loss", "calibration_error")]


def test_a_matrix_whose_rows_are_alike_gives_its_metrics_too_and_no_share_of_a_class() -> None:
    found = values_of_matrix(np.array([[20, 20], [20, 20]]), Task(("a", "b"), "b"))
    assert found["acc"] == found["a/recall"] == 0.5
    assert "b/prevalence" not in found
