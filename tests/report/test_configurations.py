"""Images that are shown of a configuration: one mistake a patient, and what it is right about beside them."""

from __future__ import annotations

import numpy as np

from frostline.data.manifest import Example
from frostline.report.configurations import Configuration, mistakes, right_ones
from frostline.runs.predictions import SplitPredictions
from frostline.task import LUNG


def configuration(rows: list[tuple[str, str, list[list[float]]]]) -> Configuration:
    """Of every image its class, its group, and the probabilities that each seed gives."""
    examples = tuple(Example(f"{i}.png", f"{i:064}", label, group, "test") for i, (label, group, _) in enumerate(rows))
    seeds = np.array([said for _, _, said in rows]).transpose(1, 0, 2)
    predicted = tuple(SplitPredictions(LUNG, examples, p) for p in seeds)
    return Configuration({}, (), predicted, {}, (), {})


SURE, LESS = [0.05, 0.9, 0.05], [0.2, 0.6, 0.2]


def test_a_patient_with_many_wrong_slices_is_one_mistake_the_most_confident() -> None:
    c = configuration(
        [("benign", "a", [LESS]), ("benign", "a", [SURE]), ("normal", "b", [LESS]), ("malignant", "c", [SURE])]
    )
    found = mistakes(c)
    assert [(m.example.path, m.predicted) for m in found] == [("1.png", "malignant"), ("2.png", "malignant")]
    assert found[0].confidence == 0.9
    assert found[0].loss == -np.log(0.05)


def test_images_that_no_group_is_known_of_are_each_their_own() -> None:
    assert len(mistakes(configuration([("benign", "", [SURE]), ("benign", "", [LESS])]))) == 2


def test_beside_them_stands_the_surest_of_every_class_that_all_seeds_get_right() -> None:
    c = configuration(
        [
            ("malignant", "a", [LESS, LESS]),
            ("malignant", "b", [SURE, SURE]),
            ("malignant", "c", [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),  # one seed is wrong
            ("benign", "d", [SURE, SURE]),
        ]
    )
    assert [(m.example.group, m.seeds, m.of) for m in right_ones(c)] == [("b", 2, 2)]
