"""`frostline compare` as a user calls it, on real runs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from frostline.config.compose import compose_config
from frostline.training.recipe import train_once
from tests.conftest import Frostline, Run


@pytest.fixture(scope="session")
def other_run(tiny_run: Run, logs_dir: Path) -> Path:
    """The tiny run with another freezing depth, on the same images."""
    folder = logs_dir / "tiny-deeper"
    train_once(compose_config((*tiny_run.overrides, "freeze=40", "logger=csv")), folder)
    return folder


def test_runs_stand_side_by_side_with_intervals_and_a_sentence(
    tiny_run: Run, other_run: Path, frostline: Frostline
) -> None:
    code, out, err = frostline("compare", str(tiny_run.folder), str(other_run))
    assert (code, err) == (0, "")
    assert f"A  {tiny_run.folder}  freeze=10\nB  {other_run}  freeze=40\n" in out
    images, right = tiny_run.metrics["test/images"], tiny_run.metrics["test/acc"]
    assert f"{images} test images in {tiny_run.metrics['test/groups']} groups" in out
    lower, upper = tiny_run.metrics["test/acc/lower"], tiny_run.metrics["test/acc/upper"]
    ends = "" if lower is None else rf" \({100 * lower:.1f}-{100 * upper:.1f}\)"  # of few groups there is none
    assert re.search(rf"^ A +{100 * right:.1f}{ends} ", out, re.MULTILINE)
    assert "A - B: " in out


def test_the_same_for_programs(tiny_run: Run, other_run: Path, frostline: Frostline) -> None:
    code, out, _ = frostline("compare", "--json", str(tiny_run.folder), str(other_run), "--split=val")
    assert code == 0
    found = json.loads(out)
    assert (found["split"], found["images"]) == ("val", tiny_run.metrics["val/images"])
    for key, value in found["runs"][0].items():
        if key not in ("name", "folder"):
            expected = tiny_run.metrics[f"val/{key}"]
            assert value == (None if expected is None else pytest.approx(expected, abs=2e-6)), key
    (pair,) = found["pairs"]
    first, second = found["runs"]
    assert len(pair["only_first_right"]) - len(pair["only_second_right"]) == first["correct"] - second["correct"]
    assert pair["differences"]["acc"]["value"] == pytest.approx(first["acc"] - second["acc"])


def test_what_is_said_by_slice_is_said_by_patient_too(tiny_run: Run, other_run: Path, frostline: Frostline) -> None:
    m = tiny_run.metrics
    code, out, _ = frostline("compare", str(tiny_run.folder), str(other_run))
    assert code == 0
    assert f"By patient: {m['test/patient/patients']} test patients, mean over slices; in brackets 95 %" in out
    assert "A - B, by patient: " in out
    _, out, _ = frostline("compare", "--json", str(tiny_run.folder), str(other_run))
    found = json.loads(out)
    assert (found["patients"], found["patient_score"]) == (m["test/patient/patients"], "mean")
    (pair,), (first, second) = found["patient_pairs"], found["runs"]
    assert first["patient/acc"] == pytest.approx(m["test/patient/acc"])
    assert first["patient/acc/lower"] == pytest.approx(m["test/patient/acc/lower"])
    assert pair["differences"]["acc"]["value"] == pytest.approx(first["patient/acc"] - second["patient/acc"])
    assert (
        len(pair["only_first_right"]) - len(pair["only_second_right"])
        == first["patient/correct"] - second["patient/correct"]
    )


def test_runs_on_other_images_are_not_compared(
    tiny_run: Run, tmp_path: Path, logs_dir: Path, frostline: Frostline
) -> None:
    moved = logs_dir / "tiny-elsewhere"
    train_once(compose_config((*tiny_run.overrides, "data.split_seed=5", "trainer.max_epochs=1", "logger=csv")), moved)
    code, out, err = frostline("compare", str(tiny_run.folder), str(moved))
    assert (code, out) == (1, "")
    assert f"test images are not among the {tiny_run.metrics['test/images']} of {tiny_run.folder}" in err
    assert "data.split_seed" in err
    assert err.count("\n") == 1


def test_what_cannot_be_compared_is_told_in_one_line(tiny_run: Run, tmp_path: Path, frostline: Frostline) -> None:
    begun, untested = tmp_path / "begun", tmp_path / "untested"
    begun.mkdir()
    (tmp_path / "empty").mkdir()
    (begun / "config.yaml").write_text("")
    shutil.copytree(tiny_run.folder, untested)
    rows = (untested / "predictions.csv").read_text().splitlines(keepends=True)
    (untested / "predictions.csv").write_text("".join(row for row in rows if not row.endswith("test\n")))
    for other, expected in (
        (tmp_path / "nothing", "no such folder"),
        (tmp_path / "empty", "is no run folder"),
        (begun, "is not finished: go on with `python train.py resume="),
        (untested, "its test images were not evaluated; it was run with test=false: compare with --split=val"),
        (tiny_run.folder, "give two or more different run folders"),
    ):
        code, out, err = frostline("compare", str(tiny_run.folder), str(other))
        assert (code, out) == (1, ""), err
        assert expected in err
        assert err.count("\n") == 1
