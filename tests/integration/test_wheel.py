"""The wheel works far from the checkout: every command, runs, multirun, search, study and resume.

Its dependencies are those of the environment that runs the tests; frostline itself is the wheel's.
"""

from __future__ import annotations

import os
import signal
import site
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from frostline.runs.folder import RunFolder
from tests.conftest import ROOT, TINY

pytestmark = pytest.mark.slow
Call = Callable[..., subprocess.CompletedProcess[str]]
SMALL = (*(o for o in TINY if not o.startswith("model.name=")), "model.name=shufflenet_v2_x0_5", "logger=csv")
SEARCHABLE = tuple(o for o in SMALL if not o.startswith("freeze="))


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment that holds the wheel."""
    folder = tmp_path_factory.mktemp("elsewhere")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, timeout=300)
    (wheel,) = folder.glob("frostline-*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, timeout=120)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True, timeout=120)
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    # A path alone: what stands in .pth files there, the checkout among it, is not followed.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    return python


@pytest.fixture(scope="module")
def call(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Call:
    """Call a program of the environment in an empty folder."""
    here = tmp_path_factory.mktemp("work")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}

    def run(*command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        program, *arguments = command
        done = subprocess.run(
            [str(python.with_name(program)), *arguments],
            cwd=here,
            env=environment,
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert done.returncode == code, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, call: Call) -> Path:
    """Where `call` runs."""
    return Path(call("python", "-c", "import os; print(os.getcwd())").stdout.strip())


def test_the_wheel_is_what_runs(call: Call, python: Path) -> None:
    place = call("python", "-c", "import frostline; print(frostline.__file__)").stdout
    assert place.startswith(str(python.parents[1]))


def test_every_command_answers(call: Call) -> None:
    assert "layers" in call("frostline", "--help").stdout
    assert "layers" in call("python", "-m", "frostline", "--help").stdout
    shown = call("python", "-m", "frostline.train", "--help").stdout
    assert "python -m frostline.train data=folder data.root=DIR" in shown
    assert "optimizer=      adam, adamax, adamw, rmsprop, sgd" in shown
    assert "resnet18" in call("frostline", "layers", "resnet18").stdout
    assert "near copies" in call("frostline", "data", "phantom", *SMALL[3:6]).stdout


def test_an_error_says_the_command_that_is_there(call: Call) -> None:
    wrong = call("python", "-m", "frostline.train", "nonsense=1", code=2).stderr
    assert "python -m frostline.train --help lists them all" in wrong
    assert "train.py" not in wrong


def test_a_run_and_a_search_by_two_workers_with_choices_of_ones_own(call: Call, folder: Path) -> None:
    own = folder / "own" / "optimizer"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("name: sgd\nlr: 0.01\nweight_decay: 0.0\noptions: {momentum: 0.9}\n")
    search = folder / "own" / "hparams_search"
    search.mkdir()
    (search / "rates.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /hydra/sweeper/sampler: tpe\nstudy: rates\n"
        "hydra:\n  sweeper:\n    n_trials: 3\n    params:\n"
        "      optimizer: choice(adam, mine)\n      optimizer.lr: tag(log, interval(1e-4, 1e-1))\n"
    )
    train = ("python", "-m", "frostline.train")
    call(*train, "-m", "--config-dir=own", "hparams_search=rates", *SMALL, "hydra.sweeper.n_jobs=2")
    assert "mine" not in (folder / "logs" / "rates" / "best.yaml").read_text()
    call(*train, "--config-dir=logs", "+rates=best", "hydra.run.dir=logs/best")
    call(*train, "--config-dir=own", "optimizer=mine", *SMALL, "hydra.run.dir=logs/own")
    options = RunFolder(folder / "logs" / "own").read_options()
    assert (options["optimizer.name"], options["optimizer.options.momentum"]) == ("sgd", 0.9)
    compared = call("frostline", "compare", "logs/best", "logs/own").stdout
    assert "A - B:" in compared
    page = call("frostline", "report", "logs").stdout
    assert "report.html: 1 studies" in page
    assert "wandb" in call("frostline", "dashboard", "logs").stdout


def test_a_killed_run_is_gone_on_with(call: Call, folder: Path, python: Path) -> None:
    command = [str(python), "-m", "frostline.train", *SMALL, "trainer.max_epochs=30", "hydra.run.dir=logs/killed"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    killed = RunFolder(folder / "logs" / "killed")
    deadline = time.monotonic() + 120
    while not killed.last_checkpoint.is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not killed.is_finished
    call("python", "-m", "frostline.train", "resume=logs/killed")
    assert killed.is_finished


def test_the_whole_study_is_one_command(call: Call, folder: Path) -> None:
    flags = ("--trials=2", "--depths=0,10", "--seeds=1")
    call("frostline", "study", *flags, "data=phantom", *SEARCHABLE, "trainer.max_epochs=1")
    assert {f.name for f in (folder / "logs").glob("study-*")} == {"study-phase1", "study-phase2", "study-final"}
    again = call("frostline", "study", *flags, "data=phantom", *SEARCHABLE, "trainer.max_epochs=1").stdout
    assert again.count("of an earlier call") == 3
    call("frostline", "leak-gap", "--seeds=1", "data=phantom", *SMALL, "trainer.max_epochs=1")
