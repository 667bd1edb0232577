"""What a run leaves behind."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import lightning as L
import pytest
import torch
from PIL import Image

from frostline.config.compose import compose_config, read_config
from frostline.data.manifest import read_manifest
from frostline.errors import FrostlineError
from frostline.task import LUNG
from frostline.text import hide_password
from frostline.training.recipe import prepare_model, train_once
from tests.conftest import TINY, Run, train

FILES = (
    "metrics.json",
    "config.yaml",
    "manifest.csv",
    "history.csv",
    "predictions.csv",
    "predictions_by_patient.csv",
    "confusion_matrix.png",
    "curves.png",
    "model.ckpt",
    "environment.json",
)
KEYS = (
    "val/acc",
    "test/acc",
    "test/balanced_acc",
    "test/precision_weighted",
    "test/recall_weighted",
    "test/f1_weighted",
    "test/precision_macro",
    "test/recall_macro",
    "test/f1_macro",
    "test/malignant/recall",
    "test/malignant/precision",
    "test/malignant/f1",
    "test/malignant/support",
    "test/malignant/sensitivity",
    "test/malignant/specificity",
    "test/malignant/auroc",
    "test/calibration_error",
    "test/patient/acc",
    "test/patient/acc/lower",
    "test/patient/operating/sensitivity",
    "test/patient/scaled/loss",
    "test/patient/patients",
    "test/patient/mixed",
    "val/patient/acc",
    "patient/operating/threshold",
    "patient/temperature",
    "freeze",
    "seed",
    "weights",
    "split",
)


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_run_folder_holds_every_file_and_no_leftovers(tiny_run: Run) -> None:
    there = {entry.name for entry in tiny_run.folder.iterdir() if entry.is_file()}
    assert set(FILES) <= there
    assert not [name for name in there if name.startswith(".")]
    assert "last.ckpt" in there  # for more epochs
    assert "previous.ckpt" not in there


def test_metrics_are_flat_and_hold_the_names_programs_rely_on(tiny_run: Run) -> None:
    metrics = json.loads((tiny_run.folder / "metrics.json").read_text())
    assert set(KEYS) <= set(metrics)
    assert not [key for key, value in metrics.items() if isinstance(value, dict | list)]
    assert (metrics["freeze"], metrics["seed"], metrics["weights"], metrics["split"]) == (10, 0, "random", "grouped")


def test_metrics_follow_from_the_predictions_that_are_written(tiny_run: Run) -> None:
    for split in ("val", "test"):
        of = [r for r in rows(tiny_run.folder / "predictions.csv") if r["split"] == split]
        right = sum(r["true"] == r["predicted"] for r in of)
        assert right / len(of) == pytest.approx(tiny_run.metrics[f"{split}/acc"])
        for r in of:
            probabilities = {name: float(r[f"p_{name}"]) for name in LUNG.classes}
            assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4)
            assert max(probabilities, key=probabilities.__getitem__) == r["predicted"]


def test_predictions_are_of_the_manifests_val_and_test_images(tiny_run: Run) -> None:
    listed = {e.path: (e.label, e.split) for e in read_manifest(tiny_run.folder / "manifest.csv")}
    predicted = {r["path"]: (r["true"], r["split"]) for r in rows(tiny_run.folder / "predictions.csv")}
    assert predicted == {path: what for path, what in listed.items() if what[1] != "train"}


def test_config_of_a_run_is_read_back_as_it_was(tiny_run: Run) -> None:
    positive = "data.positive=malignant"  # what auto came to is written down
    assert read_config(tiny_run.folder) == compose_config([*tiny_run.overrides, positive])


def test_history_has_a_row_an_epoch_and_the_last_one_is_kept(tiny_run: Run) -> None:
    history = [{k: float(v) for k, v in r.items()} for r in rows(tiny_run.folder / "history.csv")]
    assert [r["epoch"] for r in history] == [0, 1, 2]
    assert tiny_run.metrics["best_epoch"] == 3
    assert tiny_run.metrics["val/acc"] == pytest.approx(history[-1]["val/acc"])
    assert tiny_run.metrics["val/loss"] == pytest.approx(history[-1]["val/loss"], abs=1e-5)


def test_environment_names_versions_commit_and_command(tiny_run: Run) -> None:
    environment = json.loads((tiny_run.folder / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__.split("+")[0]
    assert {"git_commit", "command", "python", "platform", "trained_on"} <= set(environment)


def test_images_are_png_of_a_readable_size(tiny_run: Run) -> None:
    for name in ("confusion_matrix.png", "curves.png"):
        with Image.open(tiny_run.folder / name) as image:
            assert image.format == "PNG"
            assert min(image.size) >= 300


def test_frozen_layers_are_bit_identical_after_a_whole_run(tiny_run: Run) -> None:
    config = compose_config(tiny_run.overrides)
    L.seed_everything(config.seed, workers=True, verbose=False)
    before = prepare_model(config, 3)
    after = torch.load(tiny_run.folder / "model.ckpt", weights_only=True)["state_dict"]
    frozen = {f"model.net.{m}." for layer in before.table[: config.freeze] for m in layer.modules}
    changed = {True: 0, False: 0}
    for name, tensor in before.network.state_dict().items():
        key = f"model.{name}"
        is_frozen = key.startswith(tuple(frozen))
        changed[is_frozen] += not torch.equal(tensor, after[key])
        if is_frozen:
            assert torch.equal(tensor, after[key]), key
    assert frozen
    assert changed[False] > 0


def test_checkpoint_has_no_optimiser_and_only_plain_values(tiny_run: Run) -> None:
    checkpoint = torch.load(tiny_run.folder / "model.ckpt", weights_only=True)
    assert not checkpoint.get("optimizer_states")
    assert checkpoint["frostline"]["classes"] == list(LUNG.classes)
    assert checkpoint["frostline"]["model"]["name"] == "resnet18"
    assert checkpoint["frostline"]["image_size"] == 32


def test_checkpoint_starts_another_run(tiny_run: Run, tmp_path: Path) -> None:
    weights = (*tiny_run.overrides, f"model.weights={tiny_run.folder / 'model.ckpt'}", "logger=csv", "freeze=0")
    metrics = train_once(compose_config((*weights, "trainer.max_epochs=1")), tmp_path)
    assert metrics["weights"] == "checkpoint model.ckpt, itself from: random"


def test_same_seed_gives_the_same_metrics_to_the_last_digit_and_another_seed_does_not(
    tiny_run: Run, tmp_path: Path
) -> None:
    again = train_once(compose_config((*tiny_run.overrides, "logger=csv")), tmp_path / "again")
    other = train_once(compose_config((*tiny_run.overrides, "logger=csv", "seed=1")), tmp_path / "other")
    timing = ("seconds", "train/images_per_second")
    assert {k: v for k, v in again.items() if k not in timing} == {
        k: v for k, v in tiny_run.metrics.items() if k not in timing
    }
    assert other["val/loss"] != again["val/loss"]
    manifests = {(folder / "manifest.csv").read_text() for folder in (tiny_run.folder, tmp_path / "other")}
    assert len(manifests) == 1


def test_finished_run_is_read_and_not_evaluated_again(tiny_run: Run) -> None:
    before = (tiny_run.folder / "metrics.json").stat().st_mtime_ns
    again = train_once(compose_config(tiny_run.overrides), tiny_run.folder)
    assert again == json.loads((tiny_run.folder / "metrics.json").read_text())
    assert (tiny_run.folder / "metrics.json").stat().st_mtime_ns == before


def test_finished_run_of_other_options_is_not_taken_for_this_one(tiny_run: Run) -> None:
    with pytest.raises(FrostlineError, match=r"holds a finished run with optimizer.lr=0.002, not 0.1: take another"):
        train_once(compose_config((*tiny_run.overrides, "optimizer.lr=0.1")), tiny_run.folder)


def test_left_alone_the_test_set_is_in_no_file(tiny_run: Run, tmp_path: Path) -> None:
    config = compose_config((*tiny_run.overrides, "logger=csv", "test=false", "trainer.max_epochs=1"))
    metrics = train_once(config, tmp_path)
    assert not [key for key in metrics if key.startswith("test/") and not key.endswith("_in_train")]
    assert {r["split"] for r in rows(tmp_path / "predictions.csv")} == {"val"}


def test_offline_wandb_run_holds_config_metrics_curves_and_tables(tiny_run: Run) -> None:
    (folder,) = (tiny_run.folder / "wandb").glob("offline-run-*")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(folder)]
    seen = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    text = json.dumps(seen)
    assert seen["config"]["freeze"] == 10
    assert seen["config"]["optimizer"]["name"] == "adamax"
    for key in ("test/acc", "val/acc", "test/malignant/recall", "test/predictions", "manifest", "curves"):
        assert f'"{key}"' in text, key
    for key in ("test/patient/acc", "test/patient/predictions", "val/patient/predictions"):
        assert f'"{key}"' in text, key
    assert "freeze=10 adamax 0.002" in text


def test_nothing_that_wandb_keeps_names_a_image(tiny_run: Run) -> None:
    names = [Path(e.path).stem.encode() for e in read_manifest(tiny_run.folder / "manifest.csv")]
    for file in (tiny_run.folder / "wandb").rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not [name for name in names if name in content], file


def test_looks_at_a_test_set_are_counted_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def run(name: str, *options: str) -> str:
        caplog.clear()
        overrides = (*TINY, f"logs_dir={tmp_path}", "logger=csv", "trainer.max_epochs=1", *options)
        with caplog.at_level("INFO", logger="frostline"):
            train_once(compose_config(overrides), tmp_path / name)
        return caplog.text

    assert "evaluated this test set" not in run("first")
    assert "evaluated this test set" not in run("untested", "test=false", "seed=1")
    assert "evaluated this test set" not in run("other", "data.split_seed=3")
    assert "Runs in this logs folder have evaluated this test set 2 times" in run("second", "seed=1")
    assert (tmp_path / "test_evaluations.csv").read_text().count("\n") == 4


def test_no_password_of_a_database_is_kept() -> None:
    told = hide_password("hydra.sweeper.storage=postgresql://me:secret@host:5432/studies")
    assert told == "hydra.sweeper.storage=postgresql://me:***@host:5432/studies"
    for harmless in ("sqlite:////logs/studies.db", "postgresql://me@host/studies", "data.root=/a:b@c"):
        assert hide_password(harmless) == harmless


def test_a_start_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    done = train(*TINY, f"logs_dir={tmp_path}", "freeze=4000", "logger=csv")
    assert done.returncode == 2
    assert done.stderr.startswith("error: freeze=4000")
    assert not [*tmp_path.glob("runs/*")]


def test_folders_are_checked_before_weights_are_fetched(tmp_path: Path) -> None:
    (tmp_path / "data" / "benign").mkdir(parents=True)
    done = train("data=folder", f"data.root={tmp_path}/data", f"logs_dir={tmp_path}/logs")
    assert done.returncode == 2
    assert "data.root=" in done.stderr
    assert "imagenet" not in done.stderr
