"""A task refuses what could not be told apart, or not be written down."""

from __future__ import annotations

import pytest

from frostline.errors import ConfigError
from frostline.task import LUNG, Task, choose_positive


@pytest.mark.parametrize(
    ("classes", "positive", "message"),
    [
        (("benign",), None, "two classes or more"),
        (("a", "b", "a"), None, "'a' stands there twice"),
        (("a", "b/c"), None, "'b/c' cannot be the name of a class"),
        (("a", ""), None, "'' cannot be the name of a class"),
        (("operating", "b"), None, "'operating' cannot be the name of a class"),
        (("a", "b"), "c", r"data\.positive=c: must be one of the classes \(a, b\), or null"),
    ],
)
def test_classes_that_cannot_be_are_refused_in_one_line(
    classes: tuple[str, ...], positive: str | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        Task(classes, positive)
    assert "\n" not in str(refused.value)


def test_malignant_is_positive_of_itself_wherever_it_is_a_class() -> None:
    assert choose_positive(LUNG.classes, "auto") == "malignant"
    assert choose_positive(("cyst", "tumour"), "auto") is None
    assert choose_positive(LUNG.classes, None) is None
    assert choose_positive(LUNG.classes, "normal") == "normal"
    assert (LUNG.positive_index, Task(("a", "b")).positive_index) == (1, None)
