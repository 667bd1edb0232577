"""Grey ranges: a class that was exported otherwise is said, differences of pictures are not."""

from __future__ import annotations

import numpy as np

from frostline.data.ranges import range_remarks
from tests.data.made import record

CLASSES = ("benign", "malignant", "normal")
RECORDS = [record(f"{name}/{i}", name) for name in CLASSES for i in range(8)]


def thumbnails(brightest: dict[str, float]) -> np.ndarray:
    rng = np.random.default_rng(0)
    scale = np.array([brightest.get(r.label, 1.0) for r in RECORDS])[:, None, None]
    noise = rng.uniform(0, 1, (len(RECORDS), 64, 64)) * rng.uniform(0.7, 1.0, (len(RECORDS), 1, 1))
    return np.asarray(noise * scale * 65535).astype(np.uint16)


def test_classes_exported_alike_give_no_remark() -> None:
    assert range_remarks(RECORDS, thumbnails({}), CLASSES) == []
    assert range_remarks(RECORDS, thumbnails({"normal": 0.9}), CLASSES) == []


def test_a_class_of_another_range_is_named_with_both() -> None:
    (line,) = range_remarks(RECORDS, thumbnails({"malignant": 0.3}), CLASSES)
    assert line.startswith("the brightest grey of malignant is 0.2")
    assert "of the rest 0.8" in line


def test_a_class_without_black_is_named() -> None:
    lifted = thumbnails({})
    lifted[:8] = lifted[:8] // 2 + 32767
    assert any(line.startswith("the darkest grey of benign is 0.5") for line in range_remarks(RECORDS, lifted, CLASSES))


def test_too_few_images_are_no_range() -> None:
    few = [*RECORDS[:4], *RECORDS[8:]]
    images = np.delete(thumbnails({"benign": 0.2}), [4, 5, 6, 7], axis=0)
    assert range_remarks(few, images, CLASSES) == []
