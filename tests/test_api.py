"""`import frostline`: light, documented, and what docs/python.md says of it is so."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, n, i: f.predict(n, i, coverage=90), "coverage=90"),
        (lambda f, n, i: f.predict(n, i, batch=0), "batch=0"),
        (lambda f, n, i: f.predict([], i), "takes a network or several"),
        (lambda f, n, i: f.evaluate([0, 1], {0: [0.5, 0.5]}), "two classes|is none of the classes"),
        (lambda f, n, i: f.evaluate(["a", "b"], {"a": [0.5, 0.5], "b": [0.5]}), "no numbers in columns of one length"),
        (lambda f, n, i: f.evaluate(["a", "b"], {"a": ["x", "y"], "b": [1, 1]}), "no numbers in columns"),
        (lambda f, n, i: f.evaluate(["a", "b"], {"a": [1, 0]}, classes=["a", "c"]), "c is no column of probabilities"),
        (lambda f, n, i: f.evaluate(["a", "b"], np.eye(2), ["anonymous"] * 2, classes=["a", "b"]), "is not given"),
        (lambda f, n, i: f.train("nonsense"), "nonsense"),
    ],
)
def test_what_a_person_can_mend_is_a_frostline_error(
    call: Callable[[Any, Any, Any], Any], message: str, tiny_run: Run, tmp_path: Path
) -> None:
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "a.png")
    networks = frostline.load(tiny_run.folder)
    with pytest.raises(FrostlineError, match=message):
        call(frostline, networks, tmp_path / "a.png")


def test_classes_may_be_numbers() -> None:
    p = np.array([[0.9, 0.1], [0.2, 0.8]] * 10)
    by_array = frostline.evaluate([0, 1] * 10, p, classes=[0, 1])
    by_column = frostline.evaluate([0, 1] * 10, {0: p[:, 0], 1: p[:, 1]})
    assert by_array.metrics["acc"] == by_column.metrics["acc"] == 1.0


def test_one_name_is_one_file_and_one_network_will_do(tiny_run: Run, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "a.png")
    (network,) = frostline.load(tiny_run.folder)
    for images in (str(tmp_path / "a.png"), tmp_path / "a.png", [tmp_path / "a.png"]):
        (answer,) = frostline.predict(network, images)
        assert answer.predicted in range(3)


def test_a_run_and_a_model_from_elsewhere_are_compared_by_the_paths_of_images(tiny_run: Run) -> None:
    run = frostline.read_run(tiny_run.folder)
    p = run.predictions["test"]
    names = [run.task.classes[i] for i in p.targets]
    other = frostline.evaluate(
        names,
        np.eye(3)[p.targets] * 0.97 + 0.01,
        list(p.groups.astype(str)),
        classes=run.task.classes,
        images=[e.path for e in p.examples],
        name="other",
    )
    assert frostline.compare(run, other).text
