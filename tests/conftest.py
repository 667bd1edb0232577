"""One tiny run that many tests read, and what it takes to start more."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: several tests run at a time, on small things

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from omegaconf import OmegaConf

from frostline import cli
from frostline.config.compose import compose_config, read_config
from frostline.data.dataset import data_root
from frostline.training.recipe import train_once
from tests.started import run_forked

settings.register_profile("frostline", deadline=None)  # two tests at a time on a slow machine say nothing of speed
settings.load_profile("frostline")

Frostline = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parents[1]
TINY = (
    "model=torchvision",
    "model.name=resnet18",
    "freeze=10",
    "data.phantom.patients=6",
    "data.phantom.slices=2",
    "data.phantom.size=64",
    "data.image_size=32",
    "data.batch_size=8",
    "trainer.max_epochs=3",
    "trainer.checkpoint_seconds=0",
    "trainer.threads=1",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no core waits for another at the end."""
    items.sort(key=lambda item: "integration" not in item.path.parts)


@pytest.fixture(scope="session", autouse=True)
def no_account(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test talks to a real account, whoever runs them."""
    for key in ("WANDB_API_KEY", "MLFLOW_TRACKING_URI"):
        os.environ.pop(key, None)
    os.environ["WANDB_MODE"] = "offline"
    os.environ["WANDB_CONFIG_DIR"] = str(tmp_path_factory.mktemp("wandb-config"))


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, its metrics and the options it was started with."""

    folder: Path
    metrics: dict[str, Any]
    overrides: tuple[str, ...]


@pytest.fixture(scope="session")
def logs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests' runs share their phantoms and caches."""
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="session")
def tiny_run(logs_dir: Path) -> Run:
    """A whole run of a small network on a few phantoms, W&B offline."""
    folder = logs_dir / "tiny"
    overrides = (*TINY, f"logs_dir={logs_dir}")
    return Run(folder, train_once(compose_config(overrides), folder), overrides)


def data_of(run: Run) -> Path:
    """The folder of the images that a run was trained on."""
    config = read_config(run.folder)
    return data_root(config.data, Path(config.logs_dir) / "cache")


@pytest.fixture
def frostline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Frostline:
    """Runs the entry point in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # what readable_errors sets is undone with it

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["frostline", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        code = stop.value.code or 0
        assert isinstance(code, int)
        return code, out, err

    return call


def read_yaml(file: Path) -> Any:
    """The content of a YAML file as plain values."""
    return OmegaConf.to_container(OmegaConf.load(file))


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start train.py as a user does, from the root of the project."""
    return subprocess.Popen(
        [sys.executable, "train.py", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Started from a script in the background, the tests ignore these, and so would what they start.
        preexec_fn=lambda: [signal.signal(s, signal.SIG_DFL) for s in (signal.SIGINT, signal.SIGHUP)],
    )


def train(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run train.py to its end."""
    return run_forked(arguments, os.environ | environment)
