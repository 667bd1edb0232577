"""A paper is a file: what it says is compared, and what is wrong with it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from frostline.errors import ConfigError
from frostline.evaluation.intervals import wilson
from frostline.report.published import FOLDER, read_published

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
    assert paper.metrics["acc"].interval == wilson(144, 153)
    assert paper.metrics["f1_weighted"].interval == (0.9332, 0.9332)  # its counts are not given
    assert paper.half_an_image == 0.5 / 153
    assert paper.settings == {"optimizer": "adamax", "optimizer.lr": 8.7e-5, "data.batch_size": 16}
    assert [file.stem for file in FOLDER.glob("*.yaml")] == ["resnet101_iqothnccd"]


def test_a_second_paper_is_a_second_file(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(PAPER)
    (tmp_path / "a.yaml").write_text((FOLDER / "resnet101_iqothnccd.yaml").read_text())
    first, second = read_published(tmp_path)
    assert (first.data, second.data) == ("iqothnccd", "folder")
    assert second.metrics["tumour/recall"].value == 0.95
    assert (second.settings, second.freezing, second.sisters) == ({}, {}, {})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("model: resnet50\n", "", "'model' is missing"),
        ("tumour/recall", "cancer/recall", "metric 'cancer/recall' is none of acc, "),
        ("title", "titel", "has 'titel', which is none of classes, "),
        ("test: {", "test: [", "while parsing"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_with_its_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "paper.yaml").write_text(PAPER.replace(old, new))
    with pytest.raises(ConfigError, match=message) as refused:
        read_published(tmp_path)
    assert "paper.yaml" in str(refused.value)
    assert "\n" not in str(refused.value)
