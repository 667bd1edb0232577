"""Images that are shown of a configuration: one mistake a patient, and what it is right about beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from frostline.data.manifest import Example
from frostline.report.configurations import Configuration, configurations, mistakes, right_ones
from frostline.report.tested import metric_table
from frostline.runs.finished import FinishedRun
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


def run_of(folder: str, said: list[float], **options: object) -> FinishedRun:
    """A run tested on two images of each class, of which it says the same."""
    examples = tuple(
        Example(f"{label}{i}.png", f"{label}{i}", label, f"{label}{i}", "test")
        for label in LUNG.classes
        for i in range(2)
    )
    predicted = SplitPredictions(LUNG, examples, np.tile(np.array(said), (6, 1)))
    about = {"model.name": "resnet18", "freeze": 10, "model.weights": None, "trainer.max_epochs": 1, "data.name": "x"}
    about |= {"data.image_size": 32, "data.split": "grouped"}
    return FinishedRun(Path(folder), LUNG, {}, about | {"seed": 0} | options, {"test": predicted}, "")


def test_one_seed_on_several_folds_is_not_said_to_be_several_seeds() -> None:
    (seeds,) = configurations([run_of(f"s{seed}", SURE, seed=seed) for seed in range(3)])
    assert seeds.trainings == "3 seeds"
    (folds,) = configurations([run_of(f"f{fold}", SURE, **{"data.val_fold": fold}) for fold in range(3)])
    assert (folds.seeds, folds.trainings) == (3, "one seed on 3 folds")


def test_configurations_that_differ_in_what_no_heading_says_are_told_apart() -> None:
    every = [
        run_of(f"{rate}-{seed}", SURE, seed=seed, **{"optimizer.lr": rate}) for rate in (0.1, 0.2) for seed in (0, 1)
    ]
    labels = [c.label for c in configurations(every)]
    assert [label.rpartition(", ")[2] for label in labels] == ["optimizer.lr=0.1", "optimizer.lr=0.2"]


def test_a_class_that_one_seed_never_predicts_is_said_so_of_that_seed() -> None:
    (c,) = configurations([run_of("a", SURE, seed=0), run_of("b", [0.9, 0.05, 0.05], seed=1)])
    rows = {row[0]: row for row in metric_table(c).rows}
    benign, normal = rows["benign: precision"], rows["normal: precision"]
    assert "(0 where never predicted, by 1 of 2)" in benign[1]
    assert benign[5].startswith("never, ")
    assert (normal[1], normal[5]) == ("never predicted", "never, never")
