"""Event files of small real runs, read back with TensorBoard's own reader."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from frostline.runs.folder import PLOTS
from frostline.training.trackers.tensorboard_files import TensorBoardTracker
from tests.training.trackers.conftest import EPOCHS, Train, names_in_manifest


def read(run_dir: Path) -> EventAccumulator:
    found = EventAccumulator(str(run_dir / "tensorboard"), size_guidance={"images": 0, "tensors": 0, "scalars": 0})
    return found.Reload()


def texts(found: EventAccumulator, tag: str) -> list[str]:
    return [event.tensor_proto.string_val[0].decode() for event in found.Tensors(f"{tag}/text_summary")]


def test_a_run_leaves_curves_result_matrix_tables_and_options(train: Train, tmp_path: Path) -> None:
    metrics = train("tensorboard")
    run_dir = tmp_path / "logs/runs/run"
    found = read(run_dir)
    history = (run_dir / "history.csv").read_text().splitlines()[1:]
    for column, key in ((1, "train/loss"), (5, "val/acc")):
        written = [(int(row.split(",")[0]), float(row.split(",")[column])) for row in history]
        assert [(e.step, pytest.approx(e.value)) for e in found.Scalars(key)] == written
    for key in ("test/acc", "val/acc", "best_epoch"):
        assert [e.value for e in found.Scalars(f"result/{key}")] == [pytest.approx(metrics[key])]
    assert texts(found, "result/state") == ["complete"]
    assert texts(found, "tags") == ["phantom, shufflenet_v2_x0_5, grouped, pilot"]
    assert "optimizer.name: adamax" in texts(found, "config")[0]
    images = {"test/confusion_matrix", "val/confusion_matrix", *PLOTS}
    images |= {"test/patient/confusion_matrix", "val/patient/confusion_matrix"}
    assert set(found.Tags()["images"]) == images
    (matrix,) = found.Images("test/confusion_matrix")
    assert Image.open(io.BytesIO(matrix.encoded_image_string)).size == (matrix.width, matrix.height)
    (table,) = texts(found, "test/predictions")
    assert table.splitlines()[0].startswith("| image | true | predicted | p_benign |")
    start = HParamsPluginData.FromString(found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content)
    assert start.session_start_info.hparams["freeze"].number_value == 10
    files = list((run_dir / "tensorboard").iterdir())
    assert [f.name.startswith("events.out.tfevents.") for f in files] == [True], "one file, no second run"
    assert not [name for name in names_in_manifest(run_dir) if name in files[0].read_bytes()]


@pytest.mark.parametrize("seconds", [0, 1000], ids=["from-checkpoint", "from-the-start"])
def test_a_run_that_broke_off_is_failed_and_goes_on_without_doubling(
    train: Train, tmp_path: Path, seconds: int
) -> None:
    checkpoints = f"trainer.checkpoint_seconds={seconds}"
    run_dir = tmp_path / "logs/runs/run"
    with pytest.raises(RuntimeError, match="broken off"):
        train("tensorboard", checkpoints, stop_at=1)
    broken = read(run_dir)
    assert texts(broken, "result/state") == ["failed"]
    assert [e.step for e in broken.Scalars("val/acc")] == [0, 1]

    train("tensorboard", checkpoints)
    found = read(run_dir)
    assert [e.step for e in found.Scalars("val/acc")] == list(range(EPOCHS))
    assert texts(found, "result/state")[-1] == "complete"
    assert len(texts(found, "config")) == 1


def test_what_cannot_be_written_costs_one_warning(
    train: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_dir = tmp_path / "logs/runs/run"
    run_dir.mkdir(parents=True)
    (run_dir / "tensorboard").write_text("in the way")
    with caplog.at_level(logging.WARNING, "frostline"):
        metrics = train("tensorboard", "trainer.max_epochs=1")
    assert metrics["state"] == "complete"
    messages = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING and r.name == "frostline"]
    assert [m.split(" (")[0] for m in messages] == [
        "TensorBoard: logging numbers failed",
        "TensorBoard: logging media failed",
    ]
    assert all("\n" not in m for m in messages)


def test_long_tables_are_cut_and_say_so(tmp_path: Path) -> None:
    from tests.training.trackers.test_weights_and_biases import described

    tracker = TensorBoardTracker(described(tmp_path))
    tracker.log_table("manifest", ["image", "class"], [[f"{i:04d}", "a|b"] for i in range(300)])
    tracker.finish(True)
    (text,) = texts(read(tmp_path), "manifest")
    assert "| 0199 | a\\|b |" in text
    assert text.endswith("the first 200 of 300 rows; all of them are in the run folder")
