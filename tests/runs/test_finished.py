"""A finished run is read back, whichever version wrote it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from frostline.errors import FrostlineError
from frostline.runs.finished import metrics_of, read_run
from frostline.runs.folder import RunFolder
from tests.conftest import Run


def test_metrics_come_out_of_the_predictions_as_they_were_written(tiny_run: Run) -> None:
    run = read_run(tiny_run.folder)
    for split in ("val", "test"):
        for key, value in metrics_of(run, split).items():
            stored = run.metrics[key]
            assert (float("nan") if stored is None else stored) == pytest.approx(value, nan_ok=True), key


def test_a_run_of_before_an_option_was_there_had_its_default(tiny_run: Run, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(tiny_run.folder, old)
    config = OmegaConf.load(RunFolder(old).config)
    for option in ("accumulate_grad_batches", "limit_train_batches", "deterministic"):
        del config.trainer[option]
    RunFolder(old).config.write_text(OmegaConf.to_yaml(config))
    assert read_run(old).options == read_run(tiny_run.folder).options


def test_a_folder_that_is_gone_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(FrostlineError, match="no such folder") as refused:
        read_run(tmp_path / "gone")
    assert "\n" not in str(refused.value)
