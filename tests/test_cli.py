"""`frostline ...` as a user calls it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frostline.config.compose import compose_config
from frostline.search import protocol
from tests.conftest import ROOT, Frostline


def installed(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The console script that pip made."""
    script = Path(sys.executable).with_name("frostline")
    return subprocess.run([script, *arguments], capture_output=True, text=True, timeout=120, check=False)


def test_layers_says_what_the_first_are_and_folds_the_rest_by_stage() -> None:
    done = installed("layers", "resnet101", "--freeze", "80")
    assert done.returncode == 0, done.stderr
    first, second, _, _, *rows = done.stdout.splitlines()
    assert first == "resnet101: the first 80 of 345 layers frozen are 3.4 % of its 42,500,160 parameters"
    assert re.fullmatch(r"and 2\d\.\d % of its 7\.80 G multiply-adds at 224 px", second)
    assert [" ".join(row.split()[:4]) for row in rows[:5]] == [
        "stem 0 to 6",
        "layer1 7 to 38",
        "layer2 39 to 80",
        "layer3 81 to 312",
        "layer4 313 to 344",
    ]
    assert [re.sub(r".*\d\.\d\d *", "", row) for row in rows[:5]] == ["frozen", "frozen", "frozen up to 79", "", ""]
    assert rows[-1] == "Every layer with its number: --all"


def test_layers_lists_every_layer_when_asked(frostline: Frostline) -> None:
    code, out, _ = frostline("layers", "resnet101", "--freeze", "80", "--all")
    assert code == 0
    rows = re.findall(r"^ *(\d+) +(\S+)(.*)$", out, re.MULTILINE)
    assert [int(index) for index, _, _ in rows] == list(range(345))
    assert rows[2][1] == "conv1_conv"
    assert "9,408" in rows[2][2]
    assert ["frozen" in rest for _, _, rest in rows] == [True] * 80 + [False] * 265
    lines = [line.strip() for line in out.splitlines()]
    before = {
        stage: lines[lines.index(stage) + 1].split()[0] for stage in ("stem", "layer1", "layer2", "layer3", "layer4")
    }
    assert before == {"stem": "0", "layer1": "7", "layer2": "39", "layer3": "81", "layer4": "313"}


def test_the_version_is_ours() -> None:
    done = installed("--version")
    assert re.fullmatch(r"frostline \d+\.\d+\.\d+ \(lightning .*, torch .*, Python 3\..*\)\n", done.stdout)
    other = subprocess.run([sys.executable, "train.py", "--version"], capture_output=True, text=True, cwd=ROOT)
    assert (other.returncode, other.stdout) == (0, done.stdout)


def test_layers_json_is_the_same_for_programs(frostline: Frostline) -> None:
    code, out, _ = frostline("layers", "resnet101", "--freeze", "80", "--json")
    assert code == 0
    found = json.loads(out)
    rows, totals = found["layers"], found["totals"]
    assert rows[80] == {
        "index": 80,
        "name": "conv3_block4_out",
        "module": "layer2.3.relu",
        "stage": "layer2",
        "frozen": False,
    }
    assert sum(row["frozen"] for row in rows) == totals["frozen"] == 80
    assert (totals["layers"], totals["parameters"]) == (345, 42_500_160)
    assert round(totals["frozen_parameters"], 3) == 0.034
    assert 0.22 < totals["frozen_multiply_adds"] < 0.28


@pytest.mark.parametrize(
    ("arguments", "layers", "frozen"),
    [
        (["efficientnet_b3"], 384, 117),
        (["resnet101"], 345, 80),
        (["resnet101", "--freeze-unit", "weighted", "--freeze", "31"], 100, 31),
        (["resnet101", "--freeze-unit", "stage"], 5, 0),
        (["mobilenet_v3_small"], 56, 0),
    ],
)
def test_layers_counts_other_backbones_and_units(
    arguments: list[str], layers: int, frozen: int, frostline: Frostline
) -> None:
    code, out, _ = frostline("layers", *arguments, "--image-size", "64", "--json")
    assert code == 0
    found = json.loads(out)
    assert len(found["layers"]) == found["totals"]["layers"] == layers
    assert found["totals"]["frozen"] == sum(row["frozen"] for row in found["layers"]) == frozen


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["resnet101", "--freeze", "346"],
            "error: freeze=346: this backbone has 345 layers, so freeze must be 0 to 345",
        ),
        (["resnet101", "--freeze", "-1"], "error: freeze=-1: this backbone has 345 layers, so freeze must be 0 to 345"),
        (["resnet100"], "error: model.name=resnet100: torchvision has no such network; near: resnet101"),
        (
            ["resnet101", "--freeze-unit", "blocks"],
            "error: --freeze-unit=blocks: must be one of layer, weighted, stage",
        ),
    ],
)
def test_layers_refuses_in_one_line(arguments: list[str], expected: str, frostline: Frostline) -> None:
    code, out, err = frostline("layers", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(expected)
    assert err.count("\n") == 1


def test_data_says_what_the_embedded_data_set_holds(tmp_path: Path, frostline: Frostline) -> None:
    small = ("data.phantom.patients=7", "data.phantom.slices=2", "data.phantom.size=64", f"logs_dir={tmp_path}")
    code, out, _ = frostline("data", "phantom", *small)
    assert code == 0
    assert re.search(r"\b42\b", out), out
    for word in ("benign", "malignant", "normal", "64"):
        assert word in out


@pytest.mark.parametrize(
    "folders", [("benign", "malignant", "normal"), ("Bengin cases", "Malignant cases", "Normal cases")]
)
def test_data_says_what_a_folder_holds(folders: tuple[str, ...], tmp_path: Path, frostline: Frostline) -> None:
    root = tmp_path / "my data, {1}"
    rng = np.random.default_rng(0)
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for i in range(7):
            Image.fromarray(rng.integers(0, 255, (40, 48), dtype=np.uint8)).save(root / folder / f"{i}.png")
    (root / folders[0] / "copy.png").write_bytes((root / folders[0] / "0.png").read_bytes())
    (root / folders[2] / "broken.png").write_bytes(b"not an image")
    code, out, _ = frostline("data", str(root), f"logs_dir={tmp_path / 'logs'}")
    assert code == 0
    assert re.search(r"\b22\b", out), out
    assert "broken.png" in out
    assert "48" in out


def test_data_refuses_a_folder_that_is_not_there(frostline: Frostline) -> None:
    code, out, err = frostline("data", "/no/such/folder")
    assert (code, out) == (2, "")
    assert err.startswith(
        "error: /no/such/folder: no such folder; give a folder with one folder per class, a table, or ph"
    )
    assert err.count("\n") == 1


def test_data_refuses_a_wrong_option_in_one_line(frostline: Frostline) -> None:
    code, out, err = frostline("data", "phantom", "data.split=leaky")
    assert (code, out) == (2, "")
    assert err.startswith(
        "error: data.split=leaky: must be one of auto, grouped, copies, random, folders, manifest, table"
    )
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["images", "my data, {1}", "a(b)=c", 'q"uote', "it's"])
@pytest.mark.parametrize(("folder", "preset"), [("benign", "folder"), ("Bengin cases", "iqothnccd")])
def test_a_study_takes_a_folder(
    name: str, folder: str, preset: str, tmp_path: Path, frostline: Frostline, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(protocol, "run_protocol", lambda name, given, *_: asked.append(given) or 0)
    (tmp_path / name / folder).mkdir(parents=True)
    code, _, err = frostline("study", str(tmp_path / name), "freeze=40")
    assert (code, err) == (0, "")
    config = compose_config(asked[0])
    assert (config.data.name, config.data.root, config.freeze) == (preset, str(tmp_path / name), 40)


def test_layers_without_a_depth_says_how_to_give_one(frostline: Frostline) -> None:
    _, out, _ = frostline("layers", "resnet18")
    assert out.startswith("resnet18: 70 layers, none frozen; 11,176,512 parameters, ")


def test_a_folder_that_hydra_would_read_as_a_reference_is_refused(tmp_path: Path, frostline: Frostline) -> None:
    (tmp_path / "a${b}").mkdir()
    code, _, err = frostline("data", str(tmp_path / "a${b}"))
    assert code == 2
    assert "rename it" in err


@pytest.mark.parametrize("folder", ["no/such/folder", "/no/such=folder", "./no=folder"])
@pytest.mark.parametrize("command", ["study", "leak-gap", "data"])
def test_a_word_that_is_no_folder_is_told_in_one_line(command: str, folder: str, frostline: Frostline) -> None:
    code, out, err = frostline(command, folder)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {folder}: no such folder; give a folder with one folder per class")
    assert err.count("\n") == 1


def test_a_plan_is_made_of_expectations_and_refuses_what_contradicts_itself(frostline: Frostline) -> None:
    code, out, err = frostline("plan", "--patients", "30", "--depths", "3", "--margin", "0.05")
    assert (code, err) == (0, "")
    assert "3 depths, 3 seeds, 10 images a patient" in out
    assert "by 5 points" in out
    code, _, err = frostline("plan", "--agreement", "0.8")
    assert code == 2
    assert err.startswith("error: --seed-agreement=0.6: seeds of one depth agree as much as depths do, or more")


def test_a_plan_of_logs_without_a_study_is_told_in_one_line(tmp_path: Path, frostline: Frostline) -> None:
    code, _, err = frostline("plan", str(tmp_path))
    assert code == 1
    assert "holds no finished run and no study" in err
    assert err.count("\n") == 1
