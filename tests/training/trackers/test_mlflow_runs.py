"""Small real runs at MLflow, read back with its own client."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import mlflow
import pytest
from PIL import Image

from frostline.runs.folder import PLOTS
from frostline.training.trackers.mlflow_runs import local_uri, track
from tests.training.trackers.conftest import EPOCHS, Train, names_in_manifest
from tests.training.trackers.test_weights_and_biases import described, refusing_server


def runs(logs_dir: Path, experiment: str = "frostline/runs") -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(tracking_uri=local_uri(logs_dir))
    found: list[mlflow.entities.Run] = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return found


def steps(logs_dir: Path, run_id: str, key: str) -> list[int]:
    client = mlflow.MlflowClient(tracking_uri=local_uri(logs_dir))
    return [point.step for point in client.get_metric_history(run_id, key)]


def test_a_run_leaves_curves_result_matrix_tables_and_options(
    train: Train, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    metrics = train("mlflow")
    said = capfd.readouterr()
    assert "mlflow.store" not in said.out + said.err
    logs_dir = tmp_path / "logs"
    (run,) = runs(logs_dir)
    assert run.info.status == "FINISHED"
    assert run.info.run_name.startswith("freeze=10 adamax")
    assert run.data.tags["tags"] == "phantom, shufflenet_v2_x0_5, grouped, pilot"
    assert (run.data.tags["study"], run.data.tags["job_type"], run.data.tags["state"]) == ("runs", "train", "complete")
    assert not [tag for tag in run.data.tags if "git" in tag or "user" in tag]
    assert (run.data.params["freeze"], run.data.params["optimizer.name"]) == ("10", "adamax")
    for key in ("test/acc", "val/acc", "best_epoch"):
        assert run.data.metrics[f"result/{key}"] == pytest.approx(metrics[key])
    client = mlflow.MlflowClient(tracking_uri=local_uri(logs_dir))
    history = (logs_dir / "runs/run/history.csv").read_text().splitlines()[1:]
    written = [(int(row.split(",")[0]), pytest.approx(float(row.split(",")[5]))) for row in history]
    assert [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, "val/acc")] == written

    folder = logs_dir / "mlruns/artifacts" / run.info.run_id / "artifacts"
    with Image.open(folder / "test/confusion_matrix.png") as matrix:
        assert matrix.size[0] > 100
    assert (folder / "test/predictions.csv").read_text().startswith("image,true,predicted,p_benign,")
    there = {f.path for f in client.list_artifacts(run.info.run_id)}
    assert there == {"test", "val", "manifest.csv", *(f"{name}.png" for name in PLOTS)}
    for file in (logs_dir / "mlruns").rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        assert not [name for name in names_in_manifest(logs_dir / "runs/run") if name in content], file
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize("seconds", [0, 1000], ids=["from-checkpoint", "from-the-start"])
def test_a_run_that_broke_off_is_failed_and_goes_on_without_doubling(
    train: Train, tmp_path: Path, seconds: int
) -> None:
    checkpoints = f"trainer.checkpoint_seconds={seconds}"
    with pytest.raises(RuntimeError, match="broken off"):
        train("mlflow", checkpoints, stop_at=1)
    (broken,) = runs(tmp_path / "logs")
    assert (broken.info.status, broken.data.tags["state"]) == ("FAILED", "failed")
    assert steps(tmp_path / "logs", broken.info.run_id, "val/acc") == [0, 1]

    train("mlflow", checkpoints)
    (run,) = runs(tmp_path / "logs")
    assert run.info.run_id == broken.info.run_id
    assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "complete")
    assert steps(tmp_path / "logs", run.info.run_id, "val/acc") == list(range(EPOCHS))


def test_one_database_holds_all_of_what_is_told_of_any_run(tmp_path: Path) -> None:
    """In one test, for making the database takes seconds."""
    with track(described(tmp_path / "study/a", logs_dir=tmp_path, config={"folders": {"Cysts (new)": "benign"}})):
        pass

    def stopped() -> None:
        elsewhere = described(tmp_path / "study/b", logs_dir=tmp_path, run_id="0" * 32, name="b")
        with track(elsewhere) as tracker:
            tracker.log_summary({"test/größe (mm)/recall": 0.5})
            assert tracker.run_id not in (None, elsewhere.run_id)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    b, a = runs(tmp_path, "frostline-tests/study")
    assert (a.info.status, a.data.params) == ("FINISHED", {"folders.Cysts _new_": "benign"})
    assert (b.info.status, b.info.run_name) == ("KILLED", "b")
    assert b.data.metrics == {"result/test/größe _mm_/recall": 0.5}


@pytest.mark.parametrize(
    ("mode", "reason"), [("online", "MLFLOW_TRACKING_URI is not set"), ("auto", ""), ("offline", None)]
)
def test_a_server_that_is_not_there_costs_one_warning_and_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mode: str, reason: str | None
) -> None:
    with refusing_server() as port:
        if mode != "online":
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
        with caplog.at_level(logging.WARNING, "frostline"), track(described(tmp_path, mode=mode)) as tracker:
            tracker.log_image("curve", tmp_path / "missing.png")
            tracker.log_image("curve", tmp_path / "missing.png")
    messages = [r.getMessage() for r in caplog.records if r.name == "frostline"]
    media = messages.pop()
    assert "MLflow: logging media failed" in media
    assert len(messages) == (reason is not None)
    for message in messages:
        assert message.startswith(f"MLflow: going online failed ({reason}")
        assert message.endswith("training goes on offline")
        assert "secret" not in message
    assert "mlflow ui --backend-store-uri sqlite:///" in tracker.place
    assert len(runs(tmp_path.parent, "frostline-tests/study")) >= 1


def test_nothing_is_sent_and_git_is_not_asked(tmp_path: Path) -> None:
    script = f"""
        import socket, sys
        from pathlib import Path

        def refuse(*_):
            print("sent")
            raise OSError
        socket.socket.connect = socket.getaddrinfo = refuse
        from frostline.training.trackers.mlflow_runs import track
        from tests.training.trackers.test_weights_and_biases import described
        with track(described(Path({str(tmp_path)!r}))) as tracker:
            tracker.log_epoch(0, {{"val/acc": 0.5}})
        from mlflow.telemetry import client, utils
        assert utils.is_telemetry_disabled() and client.get_telemetry_client() is None
        assert "git" not in sys.modules and "torch" not in sys.modules
    """
    # mlflow is silent in tests and on build machines by itself
    hidden = {"PYTEST_CURRENT_TEST", "CI", "GITHUB_ACTIONS"}
    environment = {k: v for k, v in os.environ.items() if k not in hidden} | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
