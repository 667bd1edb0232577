"""What would be sent to Weights & Biases, against what offline runs hold."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY, Frostline, train

SMALL = (*TINY, "model.name=shufflenet_v2_x0_5", "trainer.max_epochs=1", "logger=wandb")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both phases, tracked offline."""
    folder = tmp_path_factory.mktemp("tracked")
    for study in (
        ("study=w-phase1", "hparams_search=phase1", "hydra.sweeper.n_trials=2", "data.batch_size=8,12"),
        ("study=w-phase2", "freeze=10,60", "test=true"),
    ):
        done = train("-m", *SMALL, f"logs_dir={folder}", *study)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def specification(logs: Path) -> dict[str, Any]:
    """As the command writes it without a key."""
    from frostline.report.collect import collect
    from frostline.report.dashboard import build_dashboard

    found = collect(str(logs))
    return build_dashboard(found.studies, found.task, "w", None, "frostline").specification()


def offline_run(logs: Path, study: str) -> dict[str, Any]:
    """What wandb's own reader finds in the first trial of a study."""
    (run,) = (logs / study / "trial-0" / "wandb").glob("offline-run-*")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(run)]
    seen = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    found: dict[str, Any] = json.loads(seen)
    return found


def values(tree: Any, key: str) -> Iterator[Any]:
    """All values of `key`, however deep."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == key:
                yield value
            yield from values(value, key)
    elif isinstance(tree, list):
        for value in tree:
            yield from values(value, key)


def test_every_panel_finds_its_values_in_an_offline_run(logs: Path, specification: dict[str, Any]) -> None:
    sections = specification["workspace"]["spec"]["section"]["panelBankConfig"]["sections"]
    assert [s["name"] for s in sections] == [
        "w-phase1: optimizer, optimizer.lr, data.batch_size",
        "w-phase2: freeze",
        "Training",
        "Metrics",
        "By patient",
        "Evaluation",
        "Runs side by side",
    ]
    for section in sections[:2]:
        run = offline_run(logs, section["name"].split(":")[0])
        text = json.dumps(section)
        accessors = re.findall(r'"(config|summary):([^"]+)"', text)
        assert {kind for kind, _ in accessors} == {"config", "summary"}
        for kind, path in accessors:
            at = run[kind]
            for name in path.replace(".value", "", 1).split(".") if kind == "config" else [path]:
                at = at[name]
            assert isinstance(at, (int, float, str)), path
    run = offline_run(logs, "w-phase2")
    for key in ("epoch", *(f"{split}/{name}" for split in ("train", "val") for name in ("acc", "loss"))):
        assert key in run["summary"], key
    media = next(values(sections[5], "mediaKeys"))
    assert media == ["confusion_matrix", "operating", "curves"]
    for key in (*media, "val/predictions", "test/predictions", "val/patient/acc", "test/patient/acc"):
        assert key in run["summary"], key


def test_the_report_holds_the_same_panels_of_the_studies_runs_alone(specification: dict[str, Any]) -> None:
    report = json.dumps(specification["report"])
    kinds = re.findall(r'"viewType": "([^"]+)"', json.dumps(specification["workspace"]))
    assert sorted(kinds) == sorted(re.findall(r'"viewType": "([^"]+)"', report))
    assert {"Parallel Coordinates Plot", "Parameter Importance", "Scatter Plot", "Run Comparer"} <= set(kinds)
    for filters in values(specification["report"], "filters"):
        if isinstance(filters, list):
            assert [f["value"] for f in filters] == [["w-phase1", "w-phase2"]]


def test_without_a_key_it_says_so_and_how_to_go_on(logs: Path, frostline: Frostline) -> None:
    code, out, err = frostline("dashboard", str(logs), "--entity=somebody")
    assert (code, err) == (0, "")
    sync, said = out.splitlines()
    patterns = shlex.split(sync.removeprefix("offline runs, to be sent first: wandb sync "))
    assert sum(len(list(Path("/").glob(pattern.lstrip("/")))) for pattern in patterns) == 4
    assert said.startswith("no key for Weights & Biases is configured (wandb login): what would be sent is in ")
    written = json.loads((logs / "dashboard.json").read_text())
    assert written["workspace"]["entity"] == "somebody"


def test_a_folder_without_a_study_is_told_in_one_line(logs: Path, frostline: Frostline, tmp_path: Path) -> None:
    code, out, err = frostline("dashboard", str(logs / "w-phase1" / "trial-0"))
    assert (code, out) == (2, "")
    assert "holds no study" in err
    assert err.count("\n") == 1
