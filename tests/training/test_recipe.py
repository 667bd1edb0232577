"""The options of Lightning's trainer reach it, and mean what they mean there."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from frostline.config.compose import compose_config, read_config
from frostline.errors import ConfigError, FrostlineError
from frostline.runs.folder import RunFolder
from frostline.training.recipe import train_once
from tests.conftest import TINY


def train(tmp_path: Path, logs_dir: Path, *options: str) -> RunFolder:
    own = f"logs_dir={tmp_path}" if "trainer.fast_dev_run=true" in options else f"logs_dir={logs_dir}"
    train_once(compose_config([*TINY, "logger=csv", "test=false", own, *options]), tmp_path / "run")
    return RunFolder(tmp_path / "run")


def steps(folder: RunFolder) -> int:
    """Steps of the optimiser up to the best epoch."""
    return int(torch.load(folder.best_checkpoint, weights_only=True)["global_step"])


@pytest.fixture(scope="module")
def batches(logs_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """Batches of an epoch."""
    return steps(train(tmp_path_factory.mktemp("whole"), logs_dir, "trainer.max_epochs=1"))


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("trainer.accumulate_grad_batches=2", lambda batches: -(-batches // 2)),
        ("trainer.limit_train_batches=2", lambda batches: 2),
        ("trainer.limit_train_batches=0.5", lambda batches: batches // 2),
        ("trainer.deterministic=true", lambda batches: batches),
    ],
)
def test_an_option_of_lightnings_trainer_does_what_it_does_there(
    option: str, expected: object, batches: int, tmp_path: Path, logs_dir: Path
) -> None:
    assert batches >= 3
    folder = train(tmp_path, logs_dir, "trainer.max_epochs=1", option)
    assert steps(folder) == expected(batches)  # type: ignore[operator]  # a function
    assert torch.are_deterministic_algorithms_enabled() is (option == "trainer.deterministic=true")
    with folder.predictions.open() as file:
        val = {row["split"] for row in csv.DictReader(file)}
    assert val == {"val"}


def test_a_dev_run_is_one_batch_and_leaves_the_test_set_alone(tmp_path: Path, logs_dir: Path) -> None:
    folder = train(tmp_path, logs_dir, "trainer.fast_dev_run=true", "test=true")
    assert steps(folder) == 1
    metrics = folder.read_metrics()
    assert metrics["epochs"] == 1
    assert "test/acc" not in metrics
    assert not (tmp_path / "test_evaluations.csv").exists()


def test_validation_may_take_a_part_of_the_batches(tmp_path: Path, logs_dir: Path) -> None:
    def losses(name: str, *options: str) -> float:
        folder = train(tmp_path / name, logs_dir, "trainer.max_epochs=1", *options)
        with folder.history.open() as file:
            return float(next(csv.DictReader(file))["val/loss"])

    few = "data.batch_size=2"
    whole, part = losses("whole", few), losses("part", few, "trainer.limit_val_batches=1")
    assert whole != part
    with pytest.raises(ConfigError, match=r"limit_val_batches=0\.1: is less than one of \d batches"):
        losses("none", few, "trainer.limit_val_batches=0.1")


def test_a_dev_run_may_take_several_batches(tmp_path: Path, logs_dir: Path) -> None:
    assert steps(train(tmp_path, logs_dir, "trainer.fast_dev_run=2")) == 2


def test_a_stopped_run_of_before_an_option_was_there_is_gone_on_with(tmp_path: Path, logs_dir: Path) -> None:
    config = compose_config([*TINY, "logger=csv", "test=false", f"logs_dir={logs_dir}", "trainer.max_epochs=1"])
    folder = RunFolder(tmp_path / "run")
    train_once(config, folder.path)
    folder.metrics.unlink()
    older = OmegaConf.load(folder.config)
    del older.trainer["accumulate_grad_batches"], older.trainer["deterministic"]
    folder.config.write_text(OmegaConf.to_yaml(older))
    train_once(read_config(folder.path), folder.path)
    assert folder.is_finished
    other = replace(config, trainer=replace(config.trainer, accumulate_grad_batches=4))
    with pytest.raises(FrostlineError, match=r"finished run with trainer\.accumulate_grad_batches=1, not 4"):
        train_once(other, folder.path)
