"""Any classes: two or four, with a positive one or none, from training to the page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from frostline.config.compose import compose_config
from frostline.data.phantoms.patients import PHANTOM_CLASSES, write_phantoms
from frostline.errors import ConfigError
from frostline.runs.finished import read_run
from frostline.training.recipe import train_once
from tests.conftest import TINY, Frostline, train
from tests.integration.studies import tracked_run

PUBLIC = ("adenocarcinoma", "large.cell.carcinoma", "normal", "squamous.cell.carcinoma")
SMALL = (*TINY, "trainer.max_epochs=2", "model.name=shufflenet_v2_x0_5")


def without_time(metrics: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in metrics.items() if not k.endswith(("seconds", "per_second"))}


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four folders with the names of a public data set."""
    root = tmp_path_factory.mktemp("four") / "data"
    write_phantoms(root, seed=0, patients=dict.fromkeys(PHANTOM_CLASSES, 4), slices=1, size=64)
    for name, public in zip(("malignant", "benign", "normal", "consolidation"), PUBLIC, strict=True):
        (root / name).rename(root / public)
    return root


def test_the_folders_are_the_classes_and_reach_the_tracker(four: Path, tmp_path: Path, frostline: Frostline) -> None:
    run_dir = tmp_path / "run"
    options = (*SMALL, "data=folder", f"data.root={four}", "data.similarity=0.99", "model.weights=null")
    with pytest.raises(ConfigError, match=r"patient_score=largest: takes .*, and there is none"):
        train_once(compose_config((*options, f"logs_dir={tmp_path}", "patient_score=largest")), tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    m = train_once(compose_config((*options, f"logs_dir={tmp_path}")), run_dir)
    assert {f"test/{name}/{metric}" for name in PUBLIC for metric in ("recall", "precision", "auroc")} <= set(m)
    assert not [key for key in m if "operating" in key or "sensitivity" in key or "malignant" in key]
    assert read_run(run_dir).task.classes == PUBLIC
    assert (run_dir / "predictions.csv").read_text().startswith(f"path,true,predicted,p_{',p_'.join(PUBLIC)},split\n")
    tracked = json.dumps(tracked_run(run_dir))
    assert all(f"test/{name}/recall" in tracked for name in PUBLIC)
    code, out, err = frostline("report", str(tmp_path))
    assert (code, err) == (0, ""), out
    page = (tmp_path / "report.html").read_text()
    assert all(f"<th>{name}</th>" in page for name in PUBLIC)
    assert "alignant" not in page


def test_two_classes_resume_to_the_same_result(tmp_path: Path) -> None:
    config = compose_config((*SMALL, "data.classes=[malignant,normal]", f"logs_dir={tmp_path}", "logger=csv"))
    whole = train_once(config, tmp_path / "whole")

    def stop(epoch: dict[str, float]) -> bool:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        train_once(config, tmp_path / "stopped", stop)
    assert (tmp_path / "stopped" / "last.ckpt").is_file()
    resumed = train_once(config, tmp_path / "stopped")
    assert without_time(resumed) == without_time(whole)
    assert {"test/malignant/sensitivity", "test/operating/sensitivity", "test/normal/recall"} <= set(whole)
    assert not [key for key in whole if "benign" in key]


def test_two_classes_are_searched_compared_and_reported(tmp_path: Path, frostline: Frostline) -> None:
    classes = ("data.classes=[benign,normal]", "data.positive=benign")
    done = train("-m", *SMALL, *classes, "freeze=10,20", f"logs_dir={tmp_path}", "study=two", "logger=csv")
    assert done.returncode == 0, done.stderr
    assert re.search("the highest mean validation score is at|all 2 depths tie", done.stdout.lower())
    trials = [str(tmp_path / "two" / f"trial-{i}") for i in range(2)]
    code, out, err = frostline("compare", "--split=val", *trials)
    assert (code, err) == (0, ""), out
    assert "benign: sensitivity" in out
    assert frostline("report", str(tmp_path))[0] == 0
    page = (tmp_path / "report.html").read_text()
    assert "Study two" in page
    assert "alignant" not in page
