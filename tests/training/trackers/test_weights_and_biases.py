"""Tracking against the real wandb: offline runs read back with wandb's own reader, real sockets for bad servers."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from frostline.training.trackers.choose import track_run
from frostline.training.trackers.interface import TrackedRun, Tracker

if TYPE_CHECKING:
    from tests.training.trackers.conftest import Train  # which imports torch

TIMEOUT = 2.0  # seconds that a run waits for its server here


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No key, no settings, an empty home; returns that home."""
    for key in [key for key in os.environ if key.startswith("WANDB_")]:
        monkeypatch.delenv(key)
    home = tmp_path / "home"
    home.mkdir()
    for key in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(key, str(home))
    for key in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "NETRC"):
        monkeypatch.delenv(key, raising=False)
    yield home
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()  # the next test has its own environment


def described(run_dir: Path, **changes: Any) -> TrackedRun:
    defaults: dict[str, Any] = {
        "run_dir": run_dir,
        "logs_dir": run_dir.parent,
        "project": "frostline-tests",
        "entity": None,
        "mode": "auto",
        "name": "freeze=100",
        "group": "study",
        "job_type": "trial",
        "tags": ["a", "b"],
        "config": {"model": {"freeze": 100, "name": "resnet101"}, "seed": 1},
        "run_id": None,
        "timeout": TIMEOUT,
    }
    return TrackedRun(**defaults | changes)


def track(run_dir: Path, logger: str = "wandb", **changes: Any) -> AbstractContextManager[Tracker]:
    return track_run(logger, described(run_dir, **changes))


def folders(run_dir: Path, prefix: str = "offline-run-") -> list[Path]:
    return sorted((run_dir / "wandb").glob(f"{prefix}*"))


def inspect(folder: Path, *options: str) -> str:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", *options, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def summary(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(inspect(folder, "--summary"))
    return result


def history(folder: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in inspect(folder).splitlines()]
    return [record["history"]["item"] for record in records if record["type"] == "history"]


def test_offline_run_holds_everything(tmp_path: Path, isolated: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "curve.png"
    Image.new("RGB", (8, 8)).save(plot)
    with track(tmp_path) as tracker:
        for epoch in range(3):
            tracker.log_epoch(epoch, {"val/acc": 0.5 + epoch / 10, "train/loss": 1.0 - epoch / 10})
        tracker.log_summary({"best/epoch": 2, "best/val/acc": 0.7, "stopped": "early"})
        tracker.log_confusion_matrix("test", ["benign", "malignant"], [0, 1, 1], [0, 1, 0])
        tracker.log_table("test/predictions", ["image", "malignant"], [["slice-0007", 0.9], ["slice-0008", 0.2]])
        tracker.log_image("curve", plot)
    assert capfd.readouterr() == ("", "")

    (folder,) = folders(tmp_path)
    assert tracker.place == f"offline, upload with: wandb sync {folder}"
    found = summary(folder)
    assert found["config"] == {"model": {"freeze": 100, "name": "resnet101"}, "seed": 1}
    assert (found["name"], found["tags"], found["run_id"]) == ("freeze=100", ["a", "b"], tracker.run_id)
    assert (found["state"], found["exit_code"], found["console_lines"]) == ("finished", 0, 0)
    assert found["summary"]["val/acc"] == pytest.approx(0.7)
    assert found["summary"]["best/epoch"] == 2
    assert found["summary"]["stopped"] == "early"
    assert found["summary"]["test/predictions"]["nrows"] == 2
    assert found["summary"]["test/confusion_matrix_table"]["nrows"] == 4
    points = [(item["epoch"], item["val/acc"]) for item in history(folder) if "val/acc" in item]
    assert points == [(0, pytest.approx(0.5)), (1, pytest.approx(0.6)), (2, pytest.approx(0.7))]

    tables = {path.name.split("_table_")[0].split("_")[0]: path for path in folder.glob("files/media/table/test/*")}
    assert json.loads(tables["predictions"].read_text())["data"] == [["slice-0007", 0.9], ["slice-0008", 0.2]]
    assert json.loads(tables["confusion"].read_text())["data"] == [
        ["benign", "benign", 1],
        ["benign", "malignant", 0],
        ["malignant", "benign", 1],
        ["malignant", "malignant", 1],
    ]
    assert {path.name for path in (folder / "files").iterdir()} == {"requirements.txt", "media"}, "no code, no patch"
    strays = [path for path in isolated.rglob("*") if path.is_file() and b"slice-0007" in path.read_bytes()]
    assert strays == [], "tables stay in the run folder"


def test_jobs_of_one_process_are_separate_finished_runs(tmp_path: Path) -> None:
    for job in ("0", "1"):
        with track(tmp_path / job, config={"job": job}, run_id=f"job{job}") as tracker:
            tracker.log_epoch(0, {"val/acc": 0.5})
        assert tracker.run_id == f"job{job}"
    for job in ("0", "1"):
        (folder,) = folders(tmp_path / job)
        found = summary(folder)
        assert (found["state"], found["exit_code"]) == ("finished", 0)
        assert (found["config"], found["run_id"]) == ({"job": job}, f"job{job}")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_exception_passes_and_marks_the_run_failed(tmp_path: Path, error: type[BaseException]) -> None:
    def training() -> None:
        with track(tmp_path) as tracker:
            tracker.log_epoch(0, {"val/acc": 0.5})
            raise error("stop")

    with pytest.raises(error, match="stop"):
        training()
    (folder,) = folders(tmp_path)
    found = summary(folder)
    assert (found["state"], found["exit_code"]) == ("failed", 1)
    assert found["summary"]["val/acc"] == 0.5


def test_environment_is_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_DATA_DIR", "mine")
    with track(tmp_path, mode="offline"):
        pass
    assert os.environ["WANDB_DATA_DIR"] == "mine"
    assert "WANDB_SILENT" not in os.environ


@pytest.mark.parametrize("how", ["logger", "WANDB_MODE"])
def test_disabled_does_nothing_and_does_not_import_wandb(tmp_path: Path, how: str) -> None:
    script = f"""
        with track(Path({str(tmp_path)!r}), logger={"csv" if how == "logger" else "wandb"!r}) as tracker:
            log_all(tracker)
            tracker.log_image("curve", Path("missing.png"))
        assert tracker.place == "off" and tracker.run_id is None
        assert "wandb" not in sys.modules
    """
    process = run_script(script, {"WANDB_MODE": "disabled"} if how == "WANDB_MODE" else {})
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
    assert not (tmp_path / "wandb").exists()


@pytest.mark.parametrize(
    ("mode", "environment", "warning"),
    [
        ("auto", {}, None),
        ("auto", {"WANDB_MODE": "dryrun", "WANDB_API_KEY": "k" * 40}, None),
        ("offline", {"WANDB_API_KEY": "k" * 40}, None),
        ("online", {}, "no API key"),
        ("auto", {"WANDB_MODE": "online"}, "no API key"),
        ("auto", {"WANDB_API_KEY": "malformed"}, "WANDB_API_KEY invalid"),
    ],
)
def test_goes_offline(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    mode: str,
    environment: dict[str, str],
    warning: str | None,
) -> None:
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    with track(tmp_path, mode=mode) as tracker:
        assert tracker.place.startswith("offline")
    assert len(folders(tmp_path)) == 1
    assert capfd.readouterr() == ("", "")
    messages = [record.getMessage() for record in caplog.records if record.name == "frostline"]
    if warning is None:
        assert messages == []
    else:
        (message,) = messages
        assert message.startswith("Weights & Biases: ")
        assert warning in message
        assert message.endswith("training goes on offline")


def test_media_that_fail_cost_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "frostline"), track(tmp_path) as tracker:
        tracker.log_image("curve", tmp_path / "missing.png")
        tracker.log_table("mixed", ["image"], [["slice"], [7]])
        tracker.log_summary({"best/val/acc": 0.7})
    (record,) = caplog.records
    assert "logging media failed" in record.getMessage()
    assert "\n" not in record.getMessage()
    (folder,) = folders(tmp_path)
    assert summary(folder)["summary"]["best/val/acc"] == 0.7


@contextmanager
def hanging_server() -> Iterator[int]:
    """Accepts connections and never answers."""
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connections.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    for connection in connections:
        connection.close()


@contextmanager
def refusing_server() -> Iterator[int]:
    """A port on which nobody listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        yield server.getsockname()[1]


@contextmanager
def http_server(answer: Callable[[str, str], bytes | None]) -> Iterator[int]:
    """Answers POST with `answer(path, GraphQL operation)`, None: status 500."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode(errors="replace")
            operation = re.search(r"(?:query|mutation) (\w+)", body)
            content = answer(self.path, operation[1] if operation else "")
            self.send_response(500 if content is None else 200)
            content = content or b"garbage"
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that gave up is no error here."""

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def lost_after_start(path: str, operation: str) -> bytes:
    """Open a run, then hang: a network that is lost in training."""
    project = {"id": "p", "name": "frostline-tests", "entity": {"id": "e", "name": "me"}}
    bucket = {"id": "r", "name": "lost", "displayName": "n", "config": "{}", "historyLineCount": 0, "project": project}
    answers = {
        "RunResumeStatus": {"model": None},
        "UpsertBucket": {"upsertBucket": {"bucket": bucket, "inserted": True}},
    }
    if path != "/graphql" or operation not in answers:
        time.sleep(60)
    return json.dumps({"data": answers.get(operation)}).encode()


def run_script(script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `script` in a process of its own, with `track` and `log_all` at hand; warnings go to stderr."""
    start = """
        import logging, os, signal, sys
        from pathlib import Path
        from test_weights_and_biases import track
        logging.basicConfig(format="%(name)s: %(message)s")

        def log_all(tracker):
            tracker.log_epoch(0, {"val/acc": 0.5})
            tracker.log_table("test/predictions", ["image"], [["slice-0007"]])
            tracker.log_table("manifest", ["image"], [["slice-0007"]])
            tracker.log_summary({"best/val/acc": 0.5})
    """
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    command = [sys.executable, "-c", textwrap.dedent(start) + textwrap.dedent(script)]
    environ = {**os.environ, "PYTHONPATH": path, **environment}
    # Files, not pipes: wandb's own process inherits them, and we wait for ours alone.
    with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        process = subprocess.run(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, timeout=100, env=environ)
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(command, process.returncode, out.read(), err.read())


def run_against(port: int, run_dir: Path, run_id: str | None = None) -> tuple[list[str], float]:
    """Track a run with a server at `port`; return the lines printed and the seconds of the whole process."""
    script = f"""
        with track(Path({str(run_dir)!r}), run_id={run_id!r}) as tracker:
            log_all(tracker)
    """
    start = time.monotonic()
    process = run_script(script, {"WANDB_BASE_URL": f"http://127.0.0.1:{port}", "WANDB_API_KEY": "k" * 40})
    seconds = time.monotonic() - start
    assert process.returncode == 0, process.stderr
    assert process.stdout == ""
    return process.stderr.splitlines(), seconds


@pytest.mark.parametrize(
    ("server", "run_id"),
    [
        pytest.param(hanging_server, None, id="hangs"),
        pytest.param(hanging_server, "resumed", id="hangs-resumed"),
        pytest.param(refusing_server, None, id="refuses"),
        pytest.param(lambda: http_server(lambda *_: None), None, id="status-500"),
    ],
)
def test_server_that_fails_costs_a_warning(
    tmp_path: Path, server: Callable[[], AbstractContextManager[int]], run_id: str | None
) -> None:
    with server() as port:
        lines, seconds = run_against(port, tmp_path, run_id)
    (line,) = lines
    assert line.startswith("frostline: Weights & Biases: going online failed")
    assert line.endswith("training goes on offline")
    assert seconds < 2 * TIMEOUT + 15
    (folder,) = folders(tmp_path)
    found = summary(folder)
    assert (found["state"], found["summary"]["best/val/acc"]) == ("finished", 0.5)
    assert run_id in (None, found["run_id"])


def test_a_server_that_did_not_answer_is_not_waited_for_by_the_next_trial(tmp_path: Path) -> None:
    script = f"""
        import time
        for trial in ("0", "1"):
            began = time.monotonic()
            with track(Path({str(tmp_path)!r}) / trial):
                print(time.monotonic() - began, flush=True)
    """
    with hanging_server() as port:
        process = run_script(script, {"WANDB_BASE_URL": f"http://127.0.0.1:{port}", "WANDB_API_KEY": "k" * 40})
    first, second = (float(line) for line in process.stdout.split())
    assert (process.returncode, process.stderr.count("\n")) == (0, 1)
    assert second < first - TIMEOUT / 2
    assert len(folders(tmp_path / "0")) == len(folders(tmp_path / "1")) == 1


def test_the_last_folder_of_a_resumed_offline_run_holds_all_of_its_epochs(train: Train, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="broken off"):
        train("wandb", stop_at=1)
    train("wandb")
    run = tmp_path / "logs" / "runs" / "run"
    first, last = folders(run)
    assert summary(first)["run_id"] == summary(last)["run_id"]
    points = [(item["epoch"], item["val/acc"]) for item in history(last) if "val/acc" in item]
    rows = [line.split(",") for line in (run / "history.csv").read_text().splitlines()]
    column = rows[0].index("val/acc")
    assert points == [(epoch, pytest.approx(float(row[column]))) for epoch, row in enumerate(rows[1:])]


def test_network_lost_in_training_costs_warnings(tmp_path: Path) -> None:
    with http_server(lost_after_start) as port:
        lines, seconds = run_against(port, tmp_path, "lost")
    media, finish = lines
    assert "logging media failed" in media
    (folder,) = folders(tmp_path, "run-")
    assert finish.endswith(f"upload it later with: wandb sync {folder}")
    assert seconds < 3 * TIMEOUT + 15
    found = summary(folder)
    assert (found["exit_code"], found["summary"]["best/val/acc"]) == (0, 0.5)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds wandb's process in /proc")
def test_frozen_service_does_not_hold_the_process(tmp_path: Path) -> None:
    script = f"""
        from frostline.training.trackers import weights_and_biases
        with track(Path({str(tmp_path)!r}), mode="offline", timeout=1.0) as tracker:
            weights_and_biases.LOCAL_S = 1.0
            tracker.log_epoch(0, {{"val/acc": 0.5}})
            for file in Path("/proc/self/task").glob("*/children"):
                try:
                    pids = file.read_text().split()
                except FileNotFoundError:  # a thread that has just ended
                    continue
                for pid in pids:
                    print(pid, flush=True)
                    os.kill(int(pid), signal.SIGSTOP)
    """
    start = time.monotonic()
    process = run_script(script, {})
    seconds = time.monotonic() - start
    pids = [int(pid) for pid in process.stdout.split()]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert len(pids) == 1
    assert process.returncode == 0
    (line,) = process.stderr.splitlines()
    assert f"upload it later with: wandb sync {folders(tmp_path)[0]}" in line
    assert seconds < 2 * TIMEOUT + 15
