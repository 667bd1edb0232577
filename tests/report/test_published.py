"""A paper is a file: what it says is compared, and what is wrong with it is said."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from frostline.errors import ConfigError
from frostline.evaluation.intervals import NARROW, wilson
from frostline.report.published import FOLDER, read_published
from tests.conftest import ROOT, read_yaml

PAPER = """
title: another paper
data: folder
model: resnet50
classes: [cyst, tumour]
conditions: {data.split: random}
test: {images: 80, seeds: 3}
metrics:
  acc: {value: 0.9, counts: [72, 80]}
  tumour/recall: {value: 0.95}
"""


def test_the_report_that_is_reproduced_is_one_of_them() -> None:
    (paper,) = read_published()
    accuracy = paper.metrics["acc"].sampled
    assert (accuracy.interval, accuracy.narrow) == (wilson(144, 153), wilson(144, 153, NARROW))
    low, high = paper.metrics["f1_weighted"].sampled.interval
    assert low < 0.9332 < high
    assert paper.sisters["efficientnet_b3"]["acc"].sampled.interval == wilson(145, 153)
    assert paper.margin == 0.02
    assert paper.settings == {"optimizer": "adamax", "optimizer.lr": 8.7e-5, "data.batch_size": 16}
    assert [file.stem for file in FOLDER.glob("*.yaml")] == ["resnet101_iqothnccd"]


def tables(images: int, malignant: int, wrong: int) -> Iterator[np.ndarray]:
    """Every confusion matrix in which all malignant images are found, no other is called so, and `wrong` are wrong."""
    for benign in range(images - malignant + 1):
        normal = images - malignant - benign
        for called_normal in range(min(wrong, benign) + 1):
            called_benign = wrong - called_normal
            if called_benign <= normal:
                benign_row = [benign - called_normal, 0, called_normal]
                yield np.array([benign_row, [0, malignant, 0], [called_benign, 0, normal - called_benign]])


def test_the_reports_values_leave_one_confusion_matrix_but_for_a_swap() -> None:
    """144 of 153 right, 105 of 105 malignant, errors between the others only, precision and F1 to four digits."""
    found = []
    for table in tables(153, 105, 9):
        right, true, called = table.diagonal(), table.sum(1), table.sum(0)
        precision = (true * right / np.maximum(called, 1)).sum() / 153
        f1 = (true * 2 * right / np.maximum(true + called, 1)).sum() / 153
        if (round(precision, 4), round(f1, 4)) == (0.9334, 0.9332):
            found.append(table.tolist())
    content = read_yaml(FOLDER / "resnet101_iqothnccd.yaml")["confusion"]
    one = np.array(content["matrix"])
    assert found == [one.tolist(), one[::-1, ::-1].tolist()]
    assert content["swappable"] == ["benign", "normal"]


def test_what_only_the_matrix_says_is_worked_out_but_for_what_the_swap_decides() -> None:
    (paper,) = read_published()
    worked_out = {key: round(v.value, 3) for key, v in paper.metrics.items() if not v.stated}
    assert worked_out == {"balanced_acc": 0.749, "f1_macro": 0.763, "malignant/specificity": 1.0}
    low, high = paper.metrics["balanced_acc"].sampled.interval
    assert low < 0.749 < high


def test_a_second_paper_is_a_second_file(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(PAPER)
    (tmp_path / "a.yaml").write_text((FOLDER / "resnet101_iqothnccd.yaml").read_text())
    first, second = read_published(tmp_path)
    assert (first.data, second.data) == ("iqothnccd", "folder")
    assert second.metrics["tumour/recall"].value == 0.95
    assert (second.settings, second.freezing, second.sisters, second.confusion) == ({}, {}, {}, {})
    assert second.metrics["acc"].sampled.interval == wilson(72, 80)
    assert math.isnan(second.metrics["tumour/recall"].sampled.interval[0])  # of how many images it does not say


def test_the_file_in_the_docs_is_one(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "published.md").read_text()
    (tmp_path / "paper.yaml").write_text(text.split("```yaml\n")[1].split("```")[0])
    (paper,) = read_published(tmp_path)
    assert (paper.margin, paper.metrics["balanced_acc"].value) == (0.05, pytest.approx((34 / 40 + 38 / 40) / 2))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("model: resnet50\n", "", "'model' is missing"),
        ("tumour/recall", "cancer/recall", "metric 'cancer/recall' is none of acc, "),
        ("title", "titel", "has 'titel', which is none of classes, "),
        ("test: {", "test: [", "while parsing"),
        ("[72, 80]", "[74, 80]", "acc is 0.9, but by the counts given it is 0.9250"),
        ("metrics:", "margin: 2\nmetrics:", "margin 2 is not between 0 and 1; 0.02 is 2 points"),
        ("metrics:", "confusion: {matrix: [[40, 3], [5, 31]]}\nmetrics:", "add up to test.images=80"),
        ("metrics:", "confusion: {matrix: [[40, 3], [1, 36]]}\nmetrics:", "by the confusion matrix given it is 0.95"),
        ("metrics:", "confusion: {swappable: [cyst, tumour]}\nmetrics:", "'matrix' is missing"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_with_its_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "paper.yaml").write_text(PAPER.replace(old, new))
    with pytest.raises(ConfigError, match=message) as refused:
        read_published(tmp_path)
    assert "paper.yaml" in str(refused.value)
    assert "\n" not in str(refused.value)
