"""The options of Lightning's trainer reach it, and mean what they mean there."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from frostline.config.compose import compose_config, read_config
from frostline.errors import ConfigError, FrostlineError
from frostline.runs.folder import RunFolder
from frostline.training.recipe import chances_of, train_once
from tests.conftest import TINY


def train(tmp_path: Path, logs_dir: Path, *options: str) -> RunFolder:
    own = f"logs_dir={tmp_path}" if "trainer.fast_dev_run=true" in options else f"logs_dir={logs_dir}"
    train_once(compose_config([*TINY, "logger=csv", "test=false", own, *options]), tmp_path / "run")
    return RunFolder(tmp_path / "run")


def steps(folder: RunFolder) -> int:
    """Steps of the optimiser up to the epoch that is kept."""
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


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(folder.best_checkpoint, weights_only=True)["state_dict"]
    return found


def test_validation_images_have_no_say_in_the_weights_of_the_last_epoch(tmp_path: Path, logs_dir: Path) -> None:
    whole = train(tmp_path / "whole", logs_dir, "trainer.max_epochs=2")
    lines = whole.manifest.read_text().splitlines(keepends=True)
    val = [line for line in lines if ",val" in line]
    fewer = tmp_path / "fewer.csv"
    fewer.write_text("".join(line for line in lines if line not in val[::2]))
    options = ("trainer.max_epochs=2", "data.split=manifest", f"data.manifest={fewer}")
    other = train(tmp_path / "fewer", logs_dir, *options)
    assert other.read_metrics()["val/images"] < whole.read_metrics()["val/images"]
    assert all(torch.equal(a, b) for a, b in zip(weights(whole).values(), weights(other).values(), strict=True))


@pytest.mark.parametrize("monitor", ["val/acc", "val/balanced_acc", "val/loss"])
def test_the_epoch_is_the_best_by_what_is_monitored(monitor: str, tmp_path: Path, logs_dir: Path) -> None:
    options = ("trainer.max_epochs=4", "optimizer=sgd", "optimizer.lr=0.5", f"trainer.monitor={monitor}")
    folder = train(tmp_path, logs_dir, *options)  # a rate so high that epochs go up and down
    with folder.history.open() as file:
        history = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    sign = -1 if monitor == "val/loss" else 1
    best = max(history, key=lambda row: (sign * row[monitor], -row["val/loss"]))
    metrics = folder.read_metrics()
    assert (metrics["best_epoch"], metrics["monitor"]) == (best["epoch"] + 1, monitor)
    assert metrics["val/acc"] == pytest.approx(best["val/acc"])


def test_patience_needs_something_to_wait_for() -> None:
    with pytest.raises(ConfigError, match=r"trainer.patience=2: waits for a better epoch, .* trainer.monitor=val/loss"):
        compose_config([*TINY, "trainer.patience=2"])
    assert compose_config([*TINY, "trainer.patience=2", "trainer.monitor=val/loss"]).trainer.patience == 2


def test_a_run_of_before_there_was_a_monitor_is_read_as_the_best_by_accuracy(tmp_path: Path) -> None:
    written = OmegaConf.load(make_config(tmp_path))
    del written.trainer.monitor
    OmegaConf.save(written, tmp_path / "config.yaml")
    assert read_config(tmp_path).trainer.monitor == "val/acc"
    assert RunFolder(tmp_path).read_options()["trainer.monitor"] == "val/acc"


def make_config(folder: Path) -> Path:
    """config.yaml of a run that is just being begun."""
    RunFolder(folder).claim(compose_config(TINY), "path,class,group,split\n")
    return folder / "config.yaml"


def test_on_the_login_node_of_a_cluster_a_run_is_as_quiet(
    tmp_path: Path, logs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(srun.parent), prepend=os.pathsep)
    train(tmp_path / "run", logs_dir, "trainer.fast_dev_run=true")  # a warning fails a test


def test_a_seed_is_other_luck_on_every_fold_and_the_same_without_folds(tmp_path: Path, logs_dir: Path) -> None:
    def head_of(name: str, *options: str) -> torch.Tensor:
        still = ("trainer.fast_dev_run=true", "optimizer=sgd", "optimizer.lr=1e-12")
        folder = train(tmp_path / name, logs_dir, *still, *options)
        state = torch.load(folder.best_checkpoint, weights_only=True)["state_dict"]
        return next(value for key, value in state.items() if key.startswith("model.head") and value.ndim == 2)

    folds = [head_of(f"fold{fold}", "data.folds=2", f"data.val_fold={fold}") for fold in range(2)]
    again = head_of("again", "data.folds=2", "data.val_fold=1")
    assert torch.equal(folds[1], again)
    assert not torch.allclose(folds[0], folds[1], atol=1e-3)
    assert chances_of(compose_config([*TINY, "seed=7"])) == 7
