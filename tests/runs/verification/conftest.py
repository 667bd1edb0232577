"""A run that no network made: images of known patients, probabilities from a seed, every file as a run writes it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from frostline.config.compose import compose_config
from frostline.data.dataset import split_data
from frostline.data.manifest import manifest_csv
from frostline.data.phantoms.patients import write_phantoms
from frostline.data.records import UNUSED_COLUMNS
from frostline.files import write_csv
from frostline.runs.environment import environment_facts
from frostline.runs.folder import RunFolder
from frostline.runs.patients import all_by_patient
from frostline.runs.predictions import SplitPredictions, write_predictions
from frostline.runs.results import evaluate_patients, evaluate_run, wanted_of
from frostline.task import LUNG


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data`, `logs` and the run `logs/run`: 8 patients of each class, 2 slices each."""
    home = tmp_path_factory.mktemp("verified")
    write_phantoms(home / "data", seed=3, patients=dict.fromkeys(LUNG.classes, 8), slices=2, size=64)
    write_run(home)
    return home


def write_run(home: Path, *options: str) -> None:
    """Write `logs/run` of `home` as a run on its data would, with probabilities from a seed."""
    usual = (r'data.patient_pattern="(patient_\d+)"', "data.similarity=0.97", "freeze=10", "logger=csv")
    config = compose_config(
        ["data=folder", f"data.root={home / 'data'}", f"logs_dir={home / 'logs'}", *usual, *options]
    )
    data = split_data(config.data, home / "logs" / "cache")
    task = data.task
    config = replace(config, data=replace(config.data, classes=list(task.classes), positive=task.positive))
    folder, rng = RunFolder(home / "logs" / "run"), np.random.default_rng(5)
    folder.claim(config, manifest_csv(data.examples))
    write_csv(folder.unused, UNUSED_COLUMNS, [(u.path, u.status, u.kind, u.reason) for u in data.unused])
    folder.environment.write_text(json.dumps(environment_facts()))
    predictions = {}
    for split in ("val", "test"):
        examples = tuple(data.of(split))
        logits = rng.normal(size=(len(examples), 3)) + 2 * np.eye(3)[[task.index(e.label) for e in examples]]
        powers = np.exp(logits)
        probabilities = (powers / powers.sum(1, keepdims=True)).astype(np.float32)
        predictions[split] = SplitPredictions(task, examples, probabilities)
    write_predictions(folder.predictions, predictions)
    leaks = {f"{split}/groups_in_train": count for split, count in data.leaks.items()}
    copies = {f"{split}/near_copies_in_train": count for split, count in data.near_copies.items()}
    facts = {"freeze": 10, "seed": 0, "split": config.data.split, "train/images": len(data.of("train"))}
    wanted = wanted_of(config)
    by_patient = evaluate_patients(all_by_patient(predictions, "mean"), wanted, "mean")
    folder.finish(evaluate_run(predictions, wanted) | by_patient | facts | leaks | copies)


@pytest.fixture
def home(written: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change; config.yaml names the copy."""
    home = Path(shutil.copytree(written, tmp_path / "home"))
    config = RunFolder(home / "logs" / "run").config
    config.write_text(config.read_text().replace(str(written), str(home)))
    return home


@pytest.fixture
def edit(home: Path) -> Callable[[str, str, str], None]:
    """Replace the first place of a text in a file of the run, which must be there."""

    def change(name: str, old: str, new: str) -> None:
        file = home / "logs" / "run" / name
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    return change
