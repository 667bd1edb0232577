"""A card is made of the runs and the studies that ask what the report asked, and of no others."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from frostline.data.manifest import Example
from frostline.report.claim_card import claim_cards
from frostline.report.collect import Collected, StudyData, TrialData
from frostline.report.configurations import configurations
from frostline.report.page import render
from frostline.report.reproduction import INCONCLUSIVE, NOT, REPRODUCED
from frostline.report.sections import card_section
from frostline.report.view import Page, Table
from frostline.runs.finished import FinishedRun
from frostline.runs.predictions import SplitPredictions
from frostline.task import LUNG
from tests.evaluation.test_metrics import REPORT, from_table

OPTIONS = {
    "data.name": "iqothnccd",
    "data.split": "random",
    "data.image_size": 224,
    "data.classes": [*LUNG.classes],
    "model.name": "resnet101",
    "model.weights": "imagenet",
    "freeze": 80,
    "trainer.max_epochs": 8,
}


def predicted(wrong: int, split: str) -> SplitPredictions:
    """The report's table with so many more wrong."""
    probabilities, targets = from_table(REPORT)
    right = np.flatnonzero(probabilities.argmax(1) == targets)[:wrong]
    probabilities[right] = probabilities[right][:, [1, 2, 0]]
    examples = (
        Example(f"{i}.png", f"{i:064x}", LUNG.classes[true], f"group {i}", split)
        for i, true in enumerate(targets.tolist())
    )
    return SplitPredictions(LUNG, tuple(examples), probabilities)


def run(folder: Path, split: str, wrong: int = 0, **options: object) -> FinishedRun:
    given = OPTIONS | {"seed": 0} | options
    return FinishedRun(folder, LUNG, {}, given, {split: predicted(wrong, split)}, "a set")


def collected(logs: Path, runs: list[FinishedRun], *studies: StudyData) -> Collected:
    return Collected("logs", logs, logs, studies, tuple(runs), ())


def search(logs: Path, wrong: dict[str, int], seeds: int) -> tuple[StudyData, list[FinishedRun]]:
    """A search over the optimiser, with so many images wrong by each, with every seed."""
    trials, runs = [], []
    for optimizer, errors in wrong.items():
        for seed in range(seeds):
            folder = logs / f"{optimizer}-{seed}"
            settings = {"optimizer": optimizer, "optimizer.lr": 8e-5, "data.batch_size": 16, "seed": seed}
            trials.append(TrialData(len(trials), "complete", (144 - errors) / 153, settings, (), "", folder))
            runs.append(run(folder, "val", errors, seed=seed))
    searched = ("optimizer", "optimizer.lr", "data.batch_size", "seed")
    fixed = {"data.name": "iqothnccd", "model.name": "resnet101"}
    return StudyData("phase1", "val/acc", 0.02, searched, True, fixed, tuple(trials), (), {}), runs


def test_a_tested_run_of_the_reports_model_is_a_column_and_other_data_are_not(tmp_path: Path) -> None:
    runs = [run(tmp_path / "a", "test"), run(tmp_path / "b", "test", freeze=40, **{"data.name": "folder"})]
    (card,) = claim_cards(configurations(runs), {}, collected(tmp_path, runs))
    assert len(card.columns) == 1
    rows = {row[0].what: row[0] for row in card.rows}
    assert rows["conditions"].verdict == "the same"
    assert rows["balanced accuracy"].found.startswith("74.9 % (")
    assert rows["right, or confused between benign and normal"].found.startswith("100.0 % (")
    assert claim_cards(configurations(runs[1:]), {}, collected(tmp_path, runs[1:])) == []


def test_a_search_shows_its_winner_only_with_seeds(tmp_path: Path) -> None:
    for wrong, seeds, verdict in (
        ({"adamax": 0, "adam": 70}, 1, INCONCLUSIVE),
        ({"adamax": 0, "adam": 70}, 3, REPRODUCED),
        ({"adamax": 0, "adam": 1}, 3, INCONCLUSIVE),
        ({"adamax": 70, "adam": 0}, 3, NOT),
    ):
        study, runs = search(tmp_path, wrong, seeds)
        (card,) = claim_cards([], {}, collected(tmp_path, runs, study))
        settings = card.search[0]
        assert settings.verdict == verdict, (wrong, seeds, settings.why)
        assert settings.found.startswith(f"optimizer {min(wrong, key=lambda name: wrong[name])}, ")


def test_settings_drawn_twice_with_one_seed_are_one_trial(tmp_path: Path) -> None:
    study, runs = search(tmp_path, {"adamax": 0, "adam": 70}, 1)
    again = [TrialData(9, "complete", 0.94, study.trials[0].settings, (), "", study.trials[0].folder)] * 2
    twice = StudyData(**{**vars(study), "trials": (*study.trials, *again)})
    (card,) = claim_cards([], {}, collected(tmp_path, runs, twice))
    assert card.search[0].verdict == INCONCLUSIVE


def test_the_page_says_what_a_verdict_means_and_rests_on(tmp_path: Path) -> None:
    runs = [run(tmp_path / "a", "test")]
    cards = [card_section(c) for c in claim_cards(configurations(runs), {}, collected(tmp_path, runs))]
    empty = Page("logs", "now", False, [], {}, [], [], cards, [], {}, Table((), ()), [], None, [])
    text = re.sub(r"\s+", " ", render(empty))
    assert "Reproduced: shown to lie within 2 points of the report&#39;s value" in text
    assert "What is worked out follows from its confusion matrix, whichever of benign and normal is which." in text
    assert "%), worked out</td>" in text
    assert '<span class="inconclusive">inconclusive</span>: -5.6 to +5.6 points (95 %); the report&#39;s own' in text
