"""The card of a model says what it is for, on what data, how sure: for a person, and for programs that read cards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard as HubCard

from frostline.errors import FrostlineError
from frostline.runs.folder import RunFolder
from frostline.runs.model_card import NO_DEVICE, model_card
from tests.conftest import Run


def test_a_tested_run_has_a_card_that_the_hub_can_read(tiny_run: Run) -> None:
    card = HubCard.load(RunFolder(tiny_run.folder).model_card)
    (accuracy, *_) = card.data.eval_results
    assert accuracy.metric_type == "accuracy"
    assert accuracy.metric_value == tiny_run.metrics["test/acc"]
    assert "benign" in card.data.tags
    titles = [line.removeprefix("## ") for line in card.text.splitlines() if line.startswith("## ")]
    assert titles == [
        "What it is",
        "What it is for, and what not",
        "Data",
        "Results",
        "Operating point and calibration",
        "Limits",
        "Training",
    ]


def test_it_says_what_is_not_known(tiny_run: Run) -> None:
    text = RunFolder(tiny_run.folder).model_card.read_text()
    assert NO_DEVICE in text
    assert "another hospital" in text
    images, groups = tiny_run.metrics["test/images"], tiny_run.metrics["test/groups"]
    assert f"of test {images} images in {groups} groups" in text


def test_it_names_no_file_of_the_data_and_no_folder(tiny_run: Run) -> None:
    text = RunFolder(tiny_run.folder).model_card.read_text()
    assert str(tiny_run.folder) not in text
    manifest = RunFolder(tiny_run.folder).manifest.read_text().splitlines()[1:]
    assert not any(line.split(",")[0] in text for line in manifest)


def test_leaks_and_guessed_patients_are_said(tiny_run: Run) -> None:
    folder = RunFolder(tiny_run.folder)
    metrics = folder.read_metrics() | {"test/groups_in_train": 3, "patients_known": False}
    text = model_card(folder, metrics, uses=4).markdown()
    assert "3 of " in text
    assert "the result is too high" in text
    assert "evaluated 4 times" in text
    assert "lower for new patients" in " ".join(text.split())
    known = model_card(folder, metrics | {"patients_known": True, "test/groups_in_train": 0}, uses=1).markdown()
    assert "too high" not in known
    assert "new patients" not in known


def test_an_untested_run_says_that_its_figures_chose_it(tiny_run: Run) -> None:
    folder = RunFolder(tiny_run.folder)
    metrics = {k: v for k, v in folder.read_metrics().items() if not k.startswith("test/")}
    assert "It was not tested" in model_card(folder, metrics, uses=0).markdown()


def test_a_damaged_folder_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises((FrostlineError, OSError)):
        model_card(RunFolder(tmp_path), json.loads("{}"), uses=0)
