"""`import frostline`: light, documented, and what docs/python.md says of it is so."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import frostline
from frostline.errors import ConfigError, FrostlineError
from tests.conftest import Run

DOCS = Path(__file__).parent.parent / "docs"


def test_importing_it_is_light() -> None:
    code = "import sys, frostline; print([m for m in ('torch', 'lightning', 'hydra', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", frostline.__all__)
def test_every_name_says_what_it_takes_and_what_it_raises(name: str) -> None:
    import frostline.api

    function = getattr(frostline.api, name)
    assert "Raises" in inspect.getdoc(function)
    assert all(p.annotation is not p.empty for p in inspect.signature(function).parameters.values())
    assert name in dir(frostline)


def test_train_is_a_module_and_a_function() -> None:
    from frostline.train import main

    assert callable(main)
    assert callable(frostline.train)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = frostline.trian


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)).save("slice.png")
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", (DOCS / "python.md").read_text(), flags=re.M | re.S):
        exec(block, names)  # it is ours
    out = capsys.readouterr().out
    assert "{('new', 'old'): True}" in out
    assert "new is right" not in out
    assert "A is right more often" in out


def test_the_notebook_is_the_page() -> None:
    spec = importlib.util.spec_from_file_location("notebook", DOCS / "notebook.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = (DOCS / "python.ipynb").read_text()
    assert text == module.notebook((DOCS / "python.md").read_text()), "python docs/notebook.py"
    assert {cell["cell_type"] for cell in json.loads(text)["cells"]} == {"code", "markdown"}


def test_arrays_and_columns_say_the_same() -> None:
    rng = np.random.default_rng(1)
    p = rng.dirichlet([1, 1, 1], 60)
    true = ["a", "b", "c"] * 20
    patients = np.repeat(np.arange(20), 3)
    one = frostline.evaluate(true, p, patients, classes=["a", "b", "c"])
    other = frostline.evaluate(true, {"a": p[:, 0], "b": p[:, 1], "c": p[:, 2]}, patients)
    assert {k: v for k, v in one.metrics.items() if v == v} == {k: v for k, v in other.metrics.items() if v == v}
    alone = frostline.evaluate(true, p, classes=["a", "b", "c"])
    assert "add a column patient" in str(alone)


def test_a_run_is_read_back_loaded_and_compared(tiny_run: Run) -> None:
    run = frostline.read_run(tiny_run.folder)
    assert run.metrics["test/acc"] == tiny_run.metrics["test/acc"]
    (network,) = frostline.load(tiny_run.folder)
    assert network.task == run.task
    with pytest.raises(FrostlineError, match="two or more different"):
        frostline.compare(run, run)


def test_wrong_input_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FrostlineError, match="no checkpoint"):
        frostline.load(tmp_path)
    with pytest.raises(ConfigError, match="name the columns"):
        frostline.evaluate(["a"], np.ones((1, 2)))
    with pytest.raises(ConfigError, match="a column for each class"):
        frostline.evaluate(["a"], [0.1, 0.9])  # type: ignore[arg-type]  # what is refused
    with pytest.raises(FrostlineError, match="two models"):
        frostline.compare()
    with pytest.raises(ConfigError):
        frostline.layer_table("resnet1001")
