"""What is told to others names no path, no file, no patient, no user and no host."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from frostline.config.compose import compose_config
from frostline.data.dataset import data_root
from tests.conftest import ROOT, TINY, Frostline, train

PATIENT, USER, HOST = "MuellerHeinz", "drkoenig", "clinic-host-7"


@pytest.fixture(scope="module")
def run(logs_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, tracked offline, on files whose folder and names hold a patient's name."""
    folder = tmp_path_factory.mktemp("private")
    data = folder / "Clinic Sundheim"
    drawn = data_root(compose_config([*TINY, f"logs_dir={logs_dir}"]).data, logs_dir / "cache")
    for file in sorted(drawn.rglob("*.png")):
        there = data / file.parent.name / f"{PATIENT}_{file.name}"
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, there)
    options = (*TINY[:3], *TINY[6:], "model.weights=null", "data=folder", f"data.root={data}", "test=true")
    pattern = f"data.patient_pattern='({PATIENT}_p.*)_'"
    env = {"WANDB_RUN_ID": "shared", "WANDB_NAME": "mine", "WANDB_TAGS": "a,b", "WANDB_PROJECT": "lungs"}
    env |= {"USER": USER, "LOGNAME": USER}
    told = (*options, pattern, f"logs_dir={folder / 'logs'}", "study=told", "logger=wandb")
    command = [sys.executable, "train.py", *told]
    if os.geteuid() == 0 and shutil.which("unshare"):  # a host name that is no other word
        command = ["unshare", "--uts", "sh", "-c", f'hostname {HOST}; exec "$@"', "sh", *command]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | env, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    (found,) = (folder / "logs" / "told").iterdir()
    return found


def secrets_of(run: Path) -> list[str]:
    return [PATIENT, "Sundheim", str(ROOT), USER, HOST, str(run.parent.parent)]


def test_nothing_that_goes_to_a_tracker_names_anybody(run: Path) -> None:
    told = [f for f in (run / "wandb").rglob("*") if f.is_file() and f.suffix != ".log"]  # its logs stay here
    assert [f for f in told if f.suffix == ".wandb"]
    for file in told:
        content = file.read_bytes()
        for secret in secrets_of(run)[:-1]:  # where tables wait for upload it says in its own file, to itself
            assert secret.encode() not in content, f"{secret} in {file}"


def test_what_travels_with_a_model_names_nobody(run: Path) -> None:
    (run / "unpacked").mkdir()
    with zipfile.ZipFile(run / "model.ckpt") as parts:
        parts.extractall(run / "unpacked")
    files = [run / "environment.json", run / "metrics.json", run / "model_card.md", *(run / "unpacked").rglob("*")]
    for file in (f for f in files if f.is_file()):
        for secret in secrets_of(run):
            assert secret.encode() not in file.read_bytes(), f"{secret} in {file}"
    shutil.rmtree(run / "unpacked")


def test_a_page_without_pictures_names_nobody(run: Path, frostline: Frostline, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    code, _, err = frostline("report", str(run), "--no-pictures", "--out", str(page))
    assert (code, err) == (0, "")
    for secret in secrets_of(run):
        assert secret not in page.read_text(), secret


def test_variables_of_weights_and_biases_count_but_an_id_for_all_runs(run: Path) -> None:
    (file,) = (run / "wandb").glob("offline-run-*/*.wandb")
    content = file.read_bytes()
    assert "shared" not in file.name
    assert (run / "wandb_run_id.txt").read_text().strip() != "shared"
    for word in (b"lungs", b"mine"):
        assert word in content


def test_files_that_name_files_are_for_their_owner_alone(run: Path) -> None:
    named = [f for f in run.iterdir() if f.is_file() and f.suffix != ".ckpt" and PATIENT.encode() in f.read_bytes()]
    assert {f.name for f in named} >= {"config.yaml", "manifest.csv", "predictions.csv"}
    assert [f.name for f in named if stat.S_IMODE(f.stat().st_mode) & 0o077] == []


def test_a_password_on_the_command_line_is_refused_before_it_is_used() -> None:
    done = train("-m", "freeze=0,10", "hydra.sweeper.storage=postgresql://me:secret@localhost/x")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "secret" not in done.stderr
    assert "hydra.sweeper.storage=${oc.env:STUDIES}" in done.stderr
