"""By patient: probabilities, true class, threshold and intervals, each patient one unit however many its slices."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from frostline.data.manifest import Example
from frostline.runs.patients import all_by_patient, by_patient, mixed_in_words, same_patients, score_of, write_patients
from frostline.runs.predictions import SplitPredictions
from frostline.runs.results import Wanted, evaluate_patients
from frostline.task import LUNG, Task

PLAIN = Task(LUNG.classes)


def slices(
    *rows: tuple[str, str, tuple[float, float, float]], task: Task = LUNG, split: str = "test"
) -> SplitPredictions:
    """Images, each of a group and a class with its probabilities."""
    examples = tuple(
        Example(f"{split}-{i}.png", f"{i:064d}", label, group, split) for i, (group, label, _) in enumerate(rows)
    )
    return SplitPredictions(task, examples, np.array([p for *_, p in rows], np.float32))


TWO = slices(
    ("a", "benign", (0.6, 0.1, 0.3)),
    ("b", "normal", (0.1, 0.2, 0.7)),
    ("a", "benign", (0.2, 0.7, 0.1)),
)


def test_the_mean_over_slices_is_what_is_said_of_a_patient() -> None:
    p = by_patient(TWO)
    assert [e.group for e in p.examples] == ["a", "b"]
    assert p.probabilities == pytest.approx(np.array([[0.4, 0.4, 0.2], [0.1, 0.2, 0.7]]), abs=1e-6)
    assert p.slices == (2, 1)
    assert p.probabilities.dtype == np.float32


def test_the_largest_is_that_of_the_positive_class_and_the_others_share_the_rest_as_their_means_do() -> None:
    p = by_patient(TWO, "largest")
    assert p.probabilities == pytest.approx(np.array([[0.2, 0.7, 0.1], [0.1, 0.2, 0.7]]), abs=1e-6)
    sure = by_patient(slices(("a", "malignant", (0, 1, 0)), ("a", "malignant", (0, 1, 0))), "largest")
    assert sure.probabilities.tolist() == [[0, 1, 0]]
    with pytest.raises(ValueError, match="positive class"):
        by_patient(replace(TWO, task=PLAIN), "largest")


@pytest.mark.parametrize(
    ("task", "labels", "expected", "mixed"),
    [
        (LUNG, ("benign", "benign", "malignant"), "malignant", 1),
        (PLAIN, ("benign", "benign", "malignant"), "benign", 1),
        (LUNG, ("benign", "normal", "normal"), "normal", 1),
        (LUNG, ("normal", "benign"), "benign", 1),  # as many of both: the first
        (LUNG, ("normal", "normal"), "normal", 0),
    ],
)
def test_a_patient_is_positive_where_a_slice_is_else_as_most_of_the_slices(
    task: Task, labels: tuple[str, ...], expected: str, mixed: int
) -> None:
    p = by_patient(slices(*(("a", label, (0.2, 0.3, 0.5)) for label in labels), task=task))
    assert (p.examples[0].label, p.mixed) == (expected, mixed)


def test_an_image_without_a_group_is_a_patient_of_its_own() -> None:
    p = by_patient(slices(("", "benign", (0.6, 0.1, 0.3)), ("", "normal", (0.1, 0.2, 0.7))))
    assert len(p) == 2


@given(values=arrays(np.float32, (12, 3), elements=st.floats(0, 1, width=32)), seed=st.integers(0, 99))
def test_the_order_of_images_does_not_move_the_last_bit(values: np.ndarray, seed: int) -> None:
    p = slices(*((f"g{i % 3}", "benign", (0, 0, 0)) for i in range(12)))
    p = replace(p, probabilities=values)
    order = np.random.default_rng(seed).permutation(12)
    moved = SplitPredictions(p.task, tuple(p.examples[i] for i in order), values[order])
    assert np.array_equal(by_patient(p).probabilities, by_patient(moved).probabilities)


@given(values=arrays(np.float32, (6, 3), elements=st.floats(0, 1, width=32)))
def test_the_file_reads_back_bit_for_bit(values: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("p") / "predictions_by_patient.csv"
    p = replace(slices(*((f"g{i % 4}", "normal", (0, 0, 0)) for i in range(6))), probabilities=values)
    patients = all_by_patient({"test": p}, "mean")
    write_patients(file, patients)
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    read = np.array([[row[f"p_{name}"] for name in LUNG.classes] for row in rows], np.float32)
    assert np.array_equal(read, patients["test"].probabilities)
    assert [(row["patient"], row["split"], row["slices"]) for row in rows] == [
        ("g0", "test", "2"),
        ("g1", "test", "2"),
        ("g2", "test", "1"),
        ("g3", "test", "1"),
    ]
    assert [row["predicted"] for row in rows] == [LUNG.classes[i] for i in patients["test"].predicted]


def test_more_slices_make_no_interval_narrower() -> None:
    few = [(f"p{i}", LUNG.classes[i % 3], tuple(np.roll((0.8, 0.1, 0.1), i % 3))) for i in range(6)]
    found = []
    for copies in (1, 40):
        of_split = {s: by_patient(slices(*few * copies, split=s)) for s in ("val", "test")}
        found.append(evaluate_patients(of_split, Wanted(0.95), "mean"))
    assert found[0] == pytest.approx(found[1], abs=1e-5, nan_ok=True)
    assert found[1]["test/patient/patients"] == 6
    assert found[1]["test/patient/acc"] == 1
    assert found[1]["test/patient/acc/lower"] < 0.75  # six patients, not 240 slices


def test_the_threshold_is_chosen_on_patients_of_validation_and_applied_to_those_of_test() -> None:
    # A slice of each malignant patient scores low: by slice the threshold would be 0.1 and less.
    val = slices(
        *(row for i in range(4) for row in ((f"m{i}", "malignant", (0.9, 0.1, 0)), (f"m{i}", "malignant", (0, 1, 0)))),
        *((f"n{i}", "normal", (0.3, 0.3, 0.4)) for i in range(4)),
        split="val",
    )
    test = slices(("m", "malignant", (0.5, 0.5, 0)), ("n", "normal", (0.2, 0.4, 0.4)))
    found = evaluate_patients(all_by_patient({"val": val, "test": test}, "mean"), Wanted(0.95), "mean")
    assert found["patient/operating/threshold"] == pytest.approx((0.55 + 0.3) / 2)
    assert found["patient/operating/wanted_sensitivity"] == 0.95
    assert (found["test/patient/operating/sensitivity"], found["test/patient/operating/specificity"]) == (1, 1)
    largest = evaluate_patients(all_by_patient({"val": val, "test": test}, "largest"), Wanted(0.95), "largest")
    assert largest["patient/operating/threshold"] == pytest.approx((1 + 0.3) / 2)
    assert score_of(largest) == "largest"
    assert score_of({}) == "mean"  # runs of before
    assert {"patient/temperature", "test/patient/scaled/loss", "test/patient/mixed", "val/patient/acc/lower"} <= {
        *found
    }
    assert not {"test/patient/images", "test/patient/groups"} & {*found}


def test_runs_on_the_same_images_have_the_same_patients_though_they_grouped_them_in_another_way() -> None:
    other = replace(TWO, examples=tuple(replace(e, group="all") for e in TWO.examples))
    first, second = same_patients([TWO, other], "mean")
    assert first.examples == second.examples
    assert len(second) == 2


def test_patients_with_slices_of_several_classes_are_said_with_what_they_count_as() -> None:
    assert mixed_in_words(0, True, LUNG) == ""
    assert mixed_in_words(1, True, LUNG) == (
        "1 patient has slices of several classes: malignant where one is, else what most are."
    )
    assert mixed_in_words(2, False, PLAIN) == "2 groups have slices of several classes: what most of them are."
