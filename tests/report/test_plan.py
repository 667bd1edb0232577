"""What a study can show is told before it, and what it would take after it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from frostline.data.manifest import Example
from frostline.errors import FrostlineError
from frostline.evaluation.power import Assumptions
from frostline.report.collect import Collected, StudyData, TrialData
from frostline.report.plan import plan_of_studies, plan_text
from frostline.runs.finished import FinishedRun
from frostline.runs.predictions import SplitPredictions
from frostline.task import LUNG

EASY = Assumptions(
    accuracy=0.9, images=5, correlation=0.3, agreement=0.5, seed_agreement=0.6, seed_spread=0.003, depths=3, seeds=3
)


def collected(logs: Path, seeds: int) -> Collected:
    """A study of two depths on 90 images in 45 groups."""
    rng = np.random.default_rng(0)
    hard, targets = rng.random(90), np.arange(90) // 2 % 3
    examples = tuple(
        Example(f"{i}.png", f"{i:064x}", LUNG.classes[t], f"g{i // 2}", "val") for i, t in enumerate(targets)
    )
    trials, runs = [], []
    for depth in (0, 40):
        for seed in range(seeds):
            right = 0.7 * hard + 0.3 * rng.random(90) < 0.75
            p = 0.1 + 0.7 * np.eye(3)[np.where(right, targets, (targets + 1) % 3)]
            folder = logs / f"{depth}-{seed}"
            settings = {"freeze": depth, "seed": seed}
            trials.append(TrialData(len(trials), "complete", float(right.mean()), settings, (), "", folder))
            of_val = {"val": SplitPredictions(LUNG, examples, p)}
            runs.append(FinishedRun(folder, LUNG, {}, {"seed": seed, "freeze": depth}, of_val, "a set"))
    study = StudyData("phase2", "val/acc", 0.02, ("freeze", "seed"), True, {}, tuple(trials), (), {})
    return Collected("logs", logs, logs, (study,), tuple(runs), ())


def test_a_plan_shows_chances_by_number_of_patients_and_how_many_it_takes() -> None:
    lines = plan_text(EASY, 40, 0.03).splitlines()
    of = {line.split()[0]: line.split() for line in lines if line.strip()[:1].isdigit() and line.count("%") == 4}
    assert [*of] == ["10", "20", "40", "50", "100", "200", "500", "1000"]
    assert float(of["1000"][1]) > float(of["100"][1])
    assert any(line.startswith("with 3 seeds") and "with 5 seeds" in line for line in lines)
    wild = plan_text(Assumptions(0.9, 5, 0.3, 0.5, 0.6, 0.1, 3, 3), 40, 0.02)
    assert "with 3 seeds not to be had" in wild


def test_a_study_that_was_run_is_planned_on_by_its_variances(tmp_path: Path) -> None:
    text = plan_of_studies(collected(tmp_path, 3))
    assert text.startswith("Study phase2\nThe highest mean validation score is at ")
    assert "groups to settle it" in text
    assert "Now 45 groups" in text


def test_one_seed_has_no_variance_to_plan_by(tmp_path: Path) -> None:
    with pytest.raises(FrostlineError, match="no complete study over freeze with two seeds or more"):
        plan_of_studies(collected(tmp_path, 1))
