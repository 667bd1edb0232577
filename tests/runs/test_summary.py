"""The first lines of a run say what is known of patients, what is left out and what leaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from frostline.config.compose import compose_config
from frostline.data.dataset import split_data
from frostline.data.manifest import Example
from frostline.data.phantoms.dicom import write_dicom
from frostline.data.phantoms.numbered import write_numbered
from frostline.files import flat_json
from frostline.runs.patients import all_by_patient
from frostline.runs.predictions import SplitPredictions
from frostline.runs.results import Wanted, evaluate_patients, evaluate_run
from frostline.runs.summary import describe_data, guarantee_in_words, result_table
from frostline.task import LUNG

PATIENTS = {"benign": 8, "malignant": 8, "normal": 8}
WANTED = Wanted(0.95)


def header(root: Path, cache: Path, *options: str) -> str:
    config = compose_config(["data=folder", f"data.root={root}", "data.similarity=0.99", *options])
    return describe_data(config, split_data(config.data, cache))


@pytest.fixture(scope="module")
def dicom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dicom") / "slices"
    write_dicom(root, 0, PATIENTS, slices=2, size=64, extras=("localizer", "report"))
    return root


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("numbered") / "slices"
    write_numbered(root, 0, PATIENTS, size=64, slices=(2, 4))
    return root


def test_known_patients_are_said_with_their_source_and_what_is_left_out(dicom: Path, tmp_path: Path) -> None:
    text = header(dicom, tmp_path)
    assert "groups: patients of DICOM headers, and near copies" in text
    assert "no images: 24 files (24 DICOM structured report)" in text
    assert "left out: 24 files (24 localizer)" in text
    assert "groups are few: validation has" in text
    assert "warning" not in text
    assert "PHANTOM" not in text


def test_a_random_split_of_known_patients_says_how_many_test_images_have_theirs_in_training(
    dicom: Path, tmp_path: Path
) -> None:
    text = header(dicom, tmp_path, "data.split=random")
    assert "warning: data.split=random: 5 of 6 test images (83.3 %) have their patient in training, " in text


def test_unknown_patients_are_said_with_what_the_result_holds_for(numbered: Path, tmp_path: Path) -> None:
    text = header(numbered, tmp_path)
    assert "the patient is known of none of " in text
    assert "groups: neighbours in a numbered series, copies and near copies" in text
    assert "the result holds for new slices, not for new patients" in text


def test_a_random_split_that_is_not_seen_to_leak_says_that_it_could_not_be_seen(numbered: Path, tmp_path: Path) -> None:
    config = compose_config(["data=folder", f"data.root={numbered}", "data.split=random"])
    data = replace(split_data(config.data, tmp_path), leaks={"val": 0, "test": 0})
    assert "no test image is seen to have one of their group" in describe_data(config, data)
    assert "but patients are not known" in describe_data(config, data)


def finished(patients: int, *, known: bool, split: str = "test") -> dict[str, object]:
    """Metrics as a run stores them, of patients with three slices each, the first of which is always taken wrong."""
    examples = tuple(
        Example(f"{i}.png", f"{i:064d}", LUNG.classes[i // 3 % 3], f"g{i // 3:03d}", "test")
        for i in range(3 * patients)
    )
    right = np.array([LUNG.index(e.label) for e in examples])
    predicted = np.where(np.arange(len(right)) < 3, (right + 1) % 3, right)
    p = SplitPredictions(LUNG, examples, (0.1 + 0.7 * np.eye(3)[predicted]).astype(np.float32))
    predictions = dict.fromkeys(("val", split), p)
    metrics = evaluate_run(predictions, WANTED) | evaluate_patients(all_by_patient(predictions, "mean"), WANTED, "mean")
    return flat_json(metrics | {"patients_known": known, "best_epoch": 1, "epochs": 2, "seconds": 3.0})


def test_the_result_by_patient_stands_beside_that_by_slice_on_a_narrow_screen(tmp_path: Path) -> None:
    text = result_table(finished(200, known=True), LUNG, tmp_path)
    assert max(len(line) for line in text.splitlines() if not line.startswith("folder")) <= 100
    assert "test by patient" in text
    assert "200 patients" in text
    assert "By patient (mean over slices): 199 of 200 right\n(99.5 %, 95 % interval 9" in text
    assert "not known" not in text
    untested = result_table(finished(9, known=True, split="val"), LUNG, tmp_path)
    assert "validation by patient" in untested


def test_a_result_by_group_says_that_patients_are_not_known(tmp_path: Path) -> None:
    text = result_table(finished(9, known=False), LUNG, tmp_path)
    assert "test by group" in text
    assert "patients not known" in text
    assert "By group, patients are not known (mean over slices): 8 of 9 right" in text
    assert "by patient" not in text


def test_the_result_of_a_run_of_before_patients_is_shown_without_them(tmp_path: Path) -> None:
    before = {k: v for k, v in finished(9, known=True).items() if "patient/" not in k}
    text = result_table(before, LUNG, tmp_path)
    assert "by patient" not in text.lower()
    assert "24 of 27 test images right" in text


def test_a_threshold_with_confidence_says_what_it_keeps_and_one_that_cannot_says_what_it_would_take() -> None:
    chosen = {"operating/threshold": 0.3, "operating/wanted_sensitivity": 0.95}
    assert guarantee_in_words(chosen, "malignant") == ""
    chosen |= {"operating/wanted_confidence": 0.9, "operating/confidence": 0.92, "operating/effective_positives": 80.0}
    assert guarantee_in_words(chosen, "malignant") == (
        "The threshold keeps a sensitivity of 95.0 % in 90.0 % of repetitions: the malignant validation images are "
        "worth 80 independent ones."
    )
    chosen |= {"operating/confidence": 0.64, "operating/effective_positives": 20.0}
    words = guarantee_in_words(chosen, "malignant")
    assert words.startswith("sensitivity_confidence=0.9 cannot be had: the malignant validation images are worth 20 ")
    assert "it takes 45. The threshold finds them all, which keeps 95.0 % in 64.0 % of repetitions." in words
