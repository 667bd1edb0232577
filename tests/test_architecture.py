"""Imports run downwards only, libraries stay behind their fences, and a search cannot come by the test images."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import frostline

SOURCE = Path(frostline.__file__).parent
# From the bottom up; a module imports from lower floors, and from its own folder.
FLOORS = (
    {"errors", "text"},
    {"files", "installation", "seeding", "terminal"},
    {"task"},
    {"config", "evaluation", "models"},
    {"data", "plots"},
    {"runs"},
    {"inference", "training"},
    {"search"},
    {"report"},
    {"serving"},
    {"api"},
    {"cli", "train"},
    {"__main__"},
)
FLOOR = {name: level for level, names in enumerate(FLOORS) for name in names}
FENCES = {
    "hydra": ("config/compose.py", "config/foreign.py", "config/messages.py", "train.py", "search/"),
    "omegaconf": ("config/compose.py", "config/foreign.py", "config/messages.py", "train.py", "search/"),
    "hydra_plugins": ("search/",),
    "optuna": ("search/", "report/"),
    "wandb": ("training/trackers/weights_and_biases.py", "report/dashboard.py"),
    "tensorboard": ("training/trackers/tensorboard_files.py",),
    "mlflow": ("training/trackers/mlflow_runs.py",),
    "wandb_workspaces": ("report/dashboard.py",),
    "SimpleITK": ("data/volumes/",),
    "captum": ("inference/",),
    "gradio": ("serving/app.py",),
    "onnx": ("inference/",),
    "pyarrow": ("inference/table.py",),
    "onnxruntime": ("inference/",),
    "typer": ("cli.py",),
    "lightning": ("data/datamodule.py", "training/"),
    "torch": (
        *("data/cache.py", "data/datamodule.py", "data/sampling.py", "data/shared.py", "data/transforms.py"),
        *("inference/", "models/", "serving/", "training/", "search/objective.py"),
    ),
    "torchmetrics": ("training/module.py",),
    "torchvision": ("data/cache.py", "data/transforms.py", "models/"),
    "sklearn": ("data/shortcuts.py", "evaluation/unlike.py"),
}
# What hands out test images, or predictions of them: a search must not choose by these.
TEST_SPLIT = ("frostline.data.datamodule", "frostline.runs.predictions", "frostline.runs.results")
WITHOUT_TORCH = (
    "evaluation",
    "data.dataset",
    "data.splits",
    "data.records",
    "data.grouping",
    "data.manifest",
    "runs.finished",
)
FILES = sorted(SOURCE.rglob("*.py"))


def imports(code: str) -> Iterator[str]:
    """Full names of all modules that `code` imports, inside functions too, and for types only."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(path: Path) -> str:
    """The folder or module below the package that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def breaches(name: str, code: str) -> list[str]:
    """What `code`, the file `name` below the package, imports against the rules."""
    here = name.split("/")[0].removesuffix(".py")
    found = []
    for module in imports(code):
        top, _, rest = module.partition(".")
        if here == "search" and module.startswith(TEST_SPLIT):
            found.append(f"{name} imports {module}, which can read the test split")
        if top == "frostline":
            there = rest.split(".")[0]
            if there != here and FLOOR[there] >= FLOOR[here]:
                found.append(f"{name} imports {module}, which is not below it")
        if module.startswith("torch.utils.tensorboard"):
            top = "tensorboard"  # which it is a door to
        if top != "frostline" and not name.startswith(FENCES.get(top, ("",))):
            found.append(f"{name} imports {module}, which belongs into {' or '.join(FENCES[top])}")
    return found


def test_every_part_has_a_floor() -> None:
    assert {part(f) for f in FILES} - {"__init__", "__main__"} <= set(FLOOR)


@pytest.mark.parametrize(
    "file", [f for f in FILES if f.name != "__init__.py"], ids=lambda f: str(f.relative_to(SOURCE))
)
def test_imports_run_downwards_and_stay_inside_their_fences(file: Path) -> None:
    assert breaches(file.relative_to(SOURCE).as_posix(), file.read_text()) == []


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("models/layer_tables.py", "from frostline.training.recipe import train_once"),
        ("data/splits.py", "def f():\n    import frostline.runs.finished"),
        ("models/head.py", "from omegaconf import OmegaConf"),
        ("training/recipe.py", "import wandb.sdk"),
        ("training/recipe.py", "from torch.utils.tensorboard import SummaryWriter"),
        ("training/publish.py", "import mlflow"),
        ("training/recipe.py", "import optuna"),
        ("data/images.py", "import SimpleITK as sitk"),
        ("terminal.py", "from frostline.config.schema import RunConfig"),
        ("evaluation/metrics.py", "import torch"),
        ("data/splits.py", "from torch.utils.data import Dataset"),
        ("search/best.py", "from frostline.runs.predictions import pool"),
    ],
)
def test_a_breach_would_be_seen(name: str, code: str) -> None:
    assert len(breaches(name, code)) == 1


def test_evaluation_and_the_plain_part_of_the_data_come_without_torch() -> None:
    """Not through others either: whoever only reads results does not wait for it."""
    modules = [f"frostline.{name}" for name in WITHOUT_TORCH]
    modules += [f"frostline.evaluation.{file.stem}" for file in (SOURCE / "evaluation").glob("*.py")]
    code = f"import importlib, sys; [importlib.import_module(m) for m in {modules}]; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"
