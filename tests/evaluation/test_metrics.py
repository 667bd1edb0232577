"""Every figure of an evaluation against one worked out by hand or by its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, brier_score_loss

from frostline.evaluation.intervals import wilson
from frostline.evaluation.metrics import confusion_matrix, evaluate
from frostline.task import LUNG
from frostline.training.module import epoch_metrics

# Rows benign, malignant, normal; columns predicted. The one table of 153 images, 105 malignant and none of them wrong,
# 9 errors between the others, that gives the report's weighted precision and F1.
REPORT = np.array([[3, 0, 7], [0, 105, 0], [2, 0, 36]])


def from_table(table: np.ndarray, sure: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [N, 3] and classes [N] whose confusion matrix is `table`; `sure` of every prediction."""
    rows = [(true, said) for true in range(3) for said in range(3) for _ in range(table[true, said])]
    probabilities = np.full((len(rows), 3), (1 - sure) / 2)
    for row, (_, said) in enumerate(rows):
        probabilities[row, said] = sure
    return probabilities, np.array([true for true, _ in rows])


@pytest.fixture(scope="module")
def random_case() -> tuple[np.ndarray, np.ndarray]:
    """200 images with probabilities that have ties."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 200)
    odds = np.exp(rng.normal(size=(200, 3)) + 1.5 * np.eye(3)[targets])
    probabilities = (20 * odds / odds.sum(1, keepdims=True)).round() + 0.5
    return probabilities / probabilities.sum(1, keepdims=True), targets


def test_the_reports_table_gives_the_reports_figures() -> None:
    m = evaluate("test", *from_table(REPORT), LUNG)
    assert {key: round(100 * m[f"test/{key}"], 2) for key in ("acc", "precision_weighted", "recall_weighted")} == {
        "acc": 94.12,
        "precision_weighted": 93.34,
        "recall_weighted": 94.12,
    }
    assert round(100 * m["test/f1_weighted"], 2) == 93.32
    assert (m["test/images"], m["test/correct"], m["test/malignant/support"]) == (153, 144, 105)
    assert m["test/malignant/precision"] == m["test/malignant/recall"] == m["test/malignant/sensitivity"] == 1
    assert m["test/malignant/specificity"] == 1
    assert (round(100 * m["test/acc/lower"], 1), round(100 * m["test/acc/upper"], 1)) == (89.2, 96.9)
    assert m["test/balanced_acc"] == pytest.approx((3 / 10 + 1 + 36 / 38) / 3)
    assert m["test/recall_macro"] == pytest.approx(m["test/balanced_acc"])
    assert m["test/precision_macro"] == pytest.approx((3 / 5 + 1 + 36 / 43) / 3)
    assert m["test/f1_macro"] == pytest.approx((6 / 15 + 1 + 72 / 81) / 3)
    assert (m["test/benign/precision"], m["test/benign/recall"]) == pytest.approx((3 / 5, 3 / 10))
    assert m["test/loss"] == pytest.approx((-144 * math.log(0.8) - 9 * math.log(0.1)) / 153)
    assert m["test/calibration_error"] == pytest.approx(144 / 153 - 0.8, abs=1e-5)


def test_precision_and_recall_are_those_of_their_definition(random_case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, targets = random_case
    m = evaluate("val", probabilities, targets, LUNG)
    predicted, true = probabilities.argmax(1), targets
    per_class = {"precision": [], "recall": [], "f1": [], "support": []}  # type: dict[str, list[float]]
    for i, name in enumerate(LUNG.classes):
        hits = np.sum((predicted == i) & (true == i))
        precision, recall = hits / np.sum(predicted == i), hits / np.sum(true == i)
        for key, value in (
            ("precision", precision),
            ("recall", recall),
            ("f1", 2 * precision * recall / (precision + recall)),
            ("support", np.sum(true == i)),
        ):
            per_class[key].append(value)
            assert m[f"val/{name}/{key}"] == pytest.approx(value), (name, key)
    for key in ("precision", "recall", "f1"):
        assert m[f"val/{key}_macro"] == pytest.approx(np.mean(per_class[key]))
        assert m[f"val/{key}_weighted"] == pytest.approx(np.average(per_class[key], weights=per_class["support"]))


def test_auroc_is_the_share_of_pairs_in_the_right_order(random_case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, targets = random_case
    m = evaluate("val", probabilities, targets, LUNG)
    for i, name in enumerate(LUNG.classes):
        inside = probabilities[targets == i, i][:, None]
        outside = probabilities[targets != i, i][None]
        assert (inside == outside).any()  # a tie counts half
        expected = np.mean((inside > outside) + 0.5 * (inside == outside))
        assert m[f"val/{name}/auroc"] == pytest.approx(expected, abs=1e-6)
    assert m["val/auroc_macro"] == pytest.approx(np.mean([m[f"val/{name}/auroc"] for name in LUNG.classes]))


def test_brier_score_average_precision_and_prevalence_are_those_of_scikit_learn(
    random_case: tuple[np.ndarray, np.ndarray],
) -> None:
    probabilities, targets = random_case
    m = evaluate("val", probabilities, targets, LUNG)
    every = probabilities.astype(float) / probabilities.sum(1, keepdims=True, dtype=float)
    brier = brier_score_loss(targets, every, labels=[0, 1, 2], scale_by_half=False)
    assert m["val/brier"] == pytest.approx(brier, abs=1e-6)
    precision = average_precision_score(targets == 1, probabilities[:, 1])
    assert m["val/malignant/auprc"] == pytest.approx(precision)
    assert m["val/malignant/prevalence"] == (targets == 1).mean()
    assert m["val/malignant/prevalence"] < m["val/malignant/auprc"]
    over = probabilities.max(1).mean() - (probabilities.argmax(1) == targets).mean()
    assert m["val/overconfidence"] == pytest.approx(over, abs=1e-6)


def test_calibration_error_is_the_gap_between_confidence_and_accuracy_over_15_bins() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.4, 1, 300)
    right = rng.random(300) < 0.7  # whatever the confidence: too low a one below 0.7, too high a one above
    probabilities = np.stack([confidence, *[(1 - confidence) / 2] * 2], 1)
    bins = (confidence * 15).astype(int)
    gaps = [abs(confidence[bins == b].sum() - right[bins == b].sum()) for b in range(15)]
    assert sum(gaps) / 300 > abs(confidence.mean() - right.mean()) + 0.05  # bins matter
    m = evaluate("val", probabilities, np.where(right, 0, 1), LUNG)
    assert m["val/calibration_error"] == pytest.approx(sum(gaps) / 300, abs=1e-6)


def test_sensitivity_and_specificity_of_malignant_have_their_intervals() -> None:
    m = evaluate("test", *from_table(np.array([[8, 2, 0], [1, 15, 4], [0, 3, 17]])), LUNG)
    assert (m["test/malignant/sensitivity"], m["test/malignant/specificity"]) == (15 / 20, 25 / 30)
    assert (m["test/malignant/sensitivity/lower"], m["test/malignant/sensitivity/upper"]) == wilson(15, 20)
    assert (m["test/malignant/specificity/lower"], m["test/malignant/specificity/upper"]) == wilson(25, 30)


def test_figures_of_an_absent_class_are_no_numbers_and_the_others_stay() -> None:
    m = evaluate("test", *from_table(np.array([[0, 0, 0], [0, 9, 1], [0, 0, 5]])), LUNG)
    for key in ("benign/recall", "benign/auroc", "auroc_macro"):
        assert math.isnan(m[f"test/{key}"]), key
    assert m["test/benign/support"] == 0
    assert m["test/acc"] == pytest.approx(14 / 15)
    assert m["test/malignant/recall"] == pytest.approx(0.9)
    assert m["test/balanced_acc"] == pytest.approx((0.9 + 1) / 2)  # of the classes that there are
    without = evaluate("test", *from_table(np.array([[5, 0, 0], [0, 0, 0], [0, 0, 5]])), LUNG)
    assert math.isnan(without["test/malignant/sensitivity"])
    assert without["test/malignant/specificity"] == 1


def test_the_names_that_programs_rely_on_are_there() -> None:
    m = evaluate("test", *from_table(REPORT), LUNG)
    assert {
        "test/acc",
        "test/balanced_acc",
        *(f"test/{figure}_{average}" for figure in ("precision", "recall", "f1") for average in ("weighted", "macro")),
        *(f"test/{name}/{f}" for name in LUNG.classes for f in ("precision", "recall", "f1", "support", "auroc")),
        "test/malignant/sensitivity",
        "test/malignant/specificity",
        "test/auroc_macro",
        "test/calibration_error",
    } <= set(m)
    assert all(isinstance(value, (int, float)) for key, value in m.items() if not key.endswith("/why"))
    assert set(evaluate("val", *from_table(REPORT), LUNG)) == {k.replace("test/", "val/") for k in m}


def test_rows_of_the_confusion_matrix_are_the_true_classes() -> None:
    probabilities, targets = from_table(REPORT)
    assert confusion_matrix(probabilities.argmax(1), targets, 3).tolist() == REPORT.tolist()


def test_figures_followed_by_epoch_are_the_ones_of_the_evaluation(random_case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, targets = random_case
    followed = epoch_metrics(3)
    for part in range(0, 200, 64):  # the last batch is smaller
        logits = torch.from_numpy(np.log(probabilities[part : part + 64]))
        followed.update(logits, torch.from_numpy(targets[part : part + 64]))
    m = evaluate("val", probabilities, targets, LUNG)
    found = followed.compute()
    assert found["acc"].item() == pytest.approx(m["val/acc"])
    assert found["balanced_acc"].item() == pytest.approx(m["val/balanced_acc"])


def grouped_case() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """90 images in 30 groups, mostly right."""
    rng = np.random.default_rng(3)
    targets = np.repeat(rng.integers(0, 3, 30), 3)
    scores = np.round(10 * (rng.random((90, 3)) + 0.8 * np.eye(3)[targets])) + 0.37
    return scores / scores.sum(1, keepdims=True), targets, np.array([str(i // 3) for i in range(90)])


def test_every_figure_stands_within_its_interval_or_says_why_it_has_none() -> None:
    m = evaluate("test", *grouped_case()[:2], LUNG, grouped_case()[2])
    assert m["test/groups"] == 30
    keys = [key.removesuffix("/lower") for key in m if key.endswith("/lower")]
    assert len(keys) > 15
    for key in keys:
        if f"{key}/why" in m:
            assert math.isnan(m[f"{key}/lower"]), key
        else:
            assert m[f"{key}/lower"] <= m[key] <= m[f"{key}/upper"], key
    without = {key for key in m if key.endswith("/why")}
    assert without == {f"test/{key}/why" for key in ("loss", "calibration_error", "malignant/calibration_slope")}


def test_a_class_of_few_groups_has_no_intervals_and_the_reason_is_said() -> None:
    targets = np.array([0] * 6 + [1] * 40 + [2] * 40)
    groups = np.array([0] * 3 + [1] * 3 + [*range(2, 42)] + [*range(42, 82)])
    probabilities = 0.1 + 0.7 * np.eye(3)[np.where(np.arange(86) % 9 == 0, (targets + 1) % 3, targets)]
    m = evaluate("test", probabilities, targets, LUNG, groups)
    for key in ("benign/recall", "benign/auroc", "benign/f1", "balanced_acc", "auroc_macro"):
        assert math.isnan(m[f"test/{key}/lower"]), key
        assert m[f"test/{key}/why"] == "2.0 groups of benign in effect, fewer than 5", key
    assert m["test/acc/lower"] < m["test/acc"] < m["test/acc/upper"]
    assert m["test/malignant/recall/lower"] < m["test/malignant/recall"]


def test_where_all_is_right_a_class_counts_its_own_groups_and_not_all() -> None:
    targets = np.repeat([0, 1, 2], [7, 60, 60])
    m = evaluate("test", 0.1 + 0.7 * np.eye(3)[targets], targets, LUNG, np.arange(127))
    of_seven = wilson(7, 7)[0]
    for key in ("benign/recall", "benign/precision", "benign/f1", "benign/auroc"):
        assert m[f"test/{key}/lower"] <= of_seven + 1e-9, key
    assert m["test/acc/lower"] > 0.95
    assert m["test/balanced_acc/lower"] < 0.9
