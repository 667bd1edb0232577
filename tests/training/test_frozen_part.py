"""Keeping what frozen layers make of the images changes how long a run takes, and nothing else."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

import frostline.training.frozen_part as frozen_part
from frostline.config.compose import compose_config
from frostline.runs.folder import RunFolder
from frostline.training.frozen_part import passes_of, saving
from frostline.training.recipe import Prune, never_prune, train_once
from tests.conftest import TINY


def run(folder: Path, logs_dir: Path, *options: str, prune: Prune = never_prune) -> RunFolder:
    own = [
        *TINY,
        "logger=csv",
        "test=false",
        f"logs_dir={logs_dir}",
        "trainer.max_epochs=4",
        "trainer.precision=float32",
    ]
    train_once(compose_config([*own, *options]), folder, prune)
    return RunFolder(folder)


@pytest.mark.parametrize(
    "options",
    [
        ("freeze=52", "data.augment=flip", "data.balance=sampler"),
        ("freeze=70", "data.augment=none"),
        ("freeze=25", "data.augment=strong"),  # inside a block; validation alone is kept
        ("freeze=52", "data.augment=flip", "trainer.averaging=ema", "data.workers=1"),
    ],
    ids=" ".join,
)
def test_the_losses_are_those_of_computing_it_anew(
    options: tuple[str, ...], logs_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="frostline")
    anew = run(tmp_path / "anew", logs_dir, "trainer.frozen_gb=0", *options)
    assert "kept " not in caplog.text
    kept = run(tmp_path / "kept", logs_dir, *options)
    assert caplog.text.count("kept ") == (1 if "data.augment=strong" in options else 2)
    for a, b in zip(anew.read_history(), kept.read_history(), strict=True):
        for name in ("train/loss", "train/acc", "val/loss", "val/acc"):
            assert b[name] == pytest.approx(a[name], rel=1e-5, abs=1e-6), name
    assert kept.read_metrics()["frozen/sha256"] == anew.read_metrics()["frozen/sha256"]
    assert kept.read_metrics()["val/loss"] == pytest.approx(anew.read_metrics()["val/loss"], rel=1e-5)


def test_a_run_that_was_stopped_keeps_them_again(logs_dir: Path, tmp_path: Path) -> None:
    options = ("freeze=52", "trainer.checkpoint_seconds=0")
    whole = run(tmp_path / "whole", logs_dir, *options)

    def stop(row: dict[str, float]) -> bool:
        raise RuntimeError("the power is cut")

    with pytest.raises(RuntimeError, match="power"):
        run(tmp_path / "stopped", logs_dir, *options, prune=stop)
    stopped = run(tmp_path / "stopped", logs_dir, *options)
    assert stopped.read_metrics()["val/loss"] == whole.read_metrics()["val/loss"]


def test_what_training_images_look_like_hangs_on_nothing_kept(logs_dir: Path, tmp_path: Path) -> None:
    found = []
    for gigabytes in (0, 4):
        options = ("freeze=52", "data.augment=flip", "test=true", f"trainer.frozen_gb={gigabytes}")
        folder = run(tmp_path / str(gigabytes), logs_dir, *options)
        found.append(torch.load(folder.best_checkpoint, weights_only=True)["frostline"]["familiar"])
    torch.testing.assert_close(found[1]["features"], found[0]["features"], rtol=0, atol=1e-2)
    assert found[1]["features_limit"] == pytest.approx(found[0]["features_limit"], rel=1e-2)


def test_what_does_not_fit_is_computed_anew(logs_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="frostline")
    run(tmp_path / "run", logs_dir, "freeze=52", "trainer.frozen_gb=1e-6")
    assert "kept " not in caplog.text


@pytest.mark.parametrize(
    ("frozen", "epochs", "variants", "training", "share"),
    [
        (0.5, 1, 1, True, 0.0),  # once is once
        (0.5, 2, 2, True, 0.0),
        (1.0, 10, 1, True, 0.9),
        (0.5, 10, 2, True, 8 * 0.5 / (10 * 2.0)),
        (0.5, 10, 1, False, 9 * 0.5 / 10),
        (0.5, 0, 1, False, 0.0),
    ],
)
def test_the_time_that_is_saved(frozen: float, epochs: int, variants: int, training: bool, share: float) -> None:
    assert saving(frozen, epochs, variants, training=training).share == pytest.approx(share)
    assert frozen_part.LEAST_SAVED > 0


def test_epochs_of_few_batches_do_not_pay_for_all_images() -> None:
    assert passes_of(1.0, 40, 8) == 8
    assert passes_of(0.05, 40, 8) == pytest.approx(0.4)
    assert passes_of(10, 40, 8) == 2
    assert passes_of(100, 40, 8) == 8
    assert saving(0.6, passes_of(0.05, 40, 8), 1, training=True).share == 0
