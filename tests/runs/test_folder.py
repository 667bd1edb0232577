"""A run folder holds one run, and every file in it is known."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from frostline.config.compose import compose_config
from frostline.errors import FrostlineError
from frostline.runs.folder import PLOTS, RunFolder, find_finished, remove_abandoned
from tests.conftest import Run

CONFIG = compose_config([])


def test_a_finished_run_leaves_the_files_that_are_named_and_no_others(tiny_run: Run) -> None:
    folder = RunFolder(tiny_run.folder)
    named = {
        *(folder.config, folder.manifest, folder.unused, folder.environment, folder.history, folder.best_checkpoint),
        folder.last_checkpoint,  # for more epochs
        *(folder.predictions, folder.patient_predictions, folder.metrics, folder.tracker_id("wandb")),
        folder.model_card,
        *(folder.plot(name) for name in PLOTS),
    }
    there = {path for path in tiny_run.folder.iterdir() if path.name != "wandb"}
    assert there == named


MANIFEST = "path,sha256,split\na.png,12,train\nb.png,34,val\n"


def test_a_folder_is_claimed_once_and_refuses_another_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert not folder.is_begun
    folder.claim(CONFIG, MANIFEST)
    folder.claim(CONFIG, MANIFEST)
    assert folder.is_begun
    for kind, other in (
        ("gone: b.png", "path,sha256,split\na.png,12,train\n"),
        ("new: c.png, d.png", MANIFEST + "c.png,56,val\nd.png,78,val\n"),
        ("changed: a.png", MANIFEST.replace("12", "21")),
        ("the same files in other splits or groups", MANIFEST.replace("val", "test")),
    ):
        with pytest.raises(
            FrostlineError, match=f"is not the one that this run was begun with .{kind}.: put the files"
        ):
            folder.claim(CONFIG, other)
    with pytest.raises(FrostlineError, match=r"holds another run, with seed=0, not 1"):
        folder.claim(replace(CONFIG, seed=1), MANIFEST)
    folder.claim(replace(CONFIG, study="renamed"), MANIFEST)  # bears on no result
    assert folder.manifest.read_text() == MANIFEST


def test_metrics_end_the_run_and_take_away_what_it_would_go_on_from(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.claim(CONFIG, "path\n")
    folder.last_checkpoint.touch()
    assert list(find_finished(tmp_path)) == []
    assert folder.finish({"acc": 0.5, "auroc": float("nan")}) == {"acc": 0.5, "auroc": None} == folder.read_metrics()
    assert not folder.last_checkpoint.exists()
    assert list(find_finished(tmp_path)) == [folder]


def test_what_a_run_wrote_is_on_the_disk_before_its_metrics_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, seen = RunFolder(tmp_path), []
    folder.predictions.write_text("p")
    synced = os.fsync

    def fsync(handle: int) -> None:
        seen.append((Path(f"/proc/self/fd/{handle}").readlink().name, folder.metrics.exists()))
        synced(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    folder.finish({"val/acc": 1.0})
    assert ("predictions.csv", False) in seen
    assert ("metrics.json", True) in seen
    assert seen[-1] == (tmp_path.name, True)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "is no run folder"),
        ({"config.yaml": "seed: 0"}, r"is not finished: go on with `python train\.py resume="),
        ({"config.yaml": "seed: 0", "metrics.json": ""}, r"metrics\.json: cannot be read"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(FrostlineError, match=message):
        RunFolder(tmp_path).read_metrics()


def test_empty_folders_that_killed_starts_have_left_are_removed(tmp_path: Path) -> None:
    hour_ago = time.time() - 4000
    for name in ("2026-01-02_03-04-05", "2026-01-02_03-04-06-77", "mine", "2026-01-02_03-04-07"):
        (tmp_path / name).mkdir()
    (tmp_path / "2026-01-02_03-04-07" / "run.log").write_text("begun")
    (tmp_path / "2026-01-02_03-04-05" / "run.log").touch()
    for folder in tmp_path.iterdir():
        os.utime(folder, (hour_ago, hour_ago))
    (tmp_path / "2026-01-02_03-04-08").mkdir()
    remove_abandoned(tmp_path)
    assert {f.name for f in tmp_path.iterdir()} == {"mine", "2026-01-02_03-04-07", "2026-01-02_03-04-08"}
