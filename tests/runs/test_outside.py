"""Predictions from elsewhere get the evidence of our own runs, and every row that is none is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from frostline.errors import ConfigError, FrostlineError
from frostline.report.outside import evaluate_text, flat_metrics, write_page
from frostline.runs.outside import ALONE, outside_run, read_outside, together
from frostline.runs.patients import by_patient
from tests.conftest import Frostline, Run

CLASSES = ("benign", "malignant", "normal")


def made(images: int = 90, seed: int = 0, sure: float = 3.0) -> tuple[list[str], np.ndarray, list[str], list[str]]:
    rng = np.random.default_rng(seed)
    patient = np.arange(images) // 3
    targets = np.random.default_rng(9).permutation(np.arange(images // 3) % 3)[patient]
    logits = rng.normal(size=(images, 3))
    logits[np.arange(images), targets] += sure * rng.random(images)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return [CLASSES[i] for i in targets], p, [f"P{i}" for i in patient], [f"scans/{i:03d}.png" for i in range(images)]


def csv_of(file: Path, seed: int = 0, model: str = "", patients: bool = True, sure: float = 3.0) -> Path:
    true, p, patient, paths = made(seed=seed, sure=sure)
    head = [
        "path",
        "true",
        *(f"p_{name}" for name in CLASSES),
        *(["patient"] if patients else []),
        *(["model"] if model else []),
    ]
    rows = [",".join(head)]
    for i, label in enumerate(true):
        cells = [
            paths[i],
            label,
            *(f"{v:.6f}" for v in p[i]),
            *([patient[i]] if patients else []),
            *([model] if model else []),
        ]
        rows.append(",".join(cells))
    file.write_text("\n".join(rows) + "\n")
    return file


def test_our_own_predictions_read_from_a_table_have_our_own_metrics(tiny_run: Run, tmp_path: Path) -> None:
    rows = (tiny_run.folder / "predictions.csv").read_text().splitlines()
    groups = {r.split(",")[0]: r.split(",")[3] for r in (tiny_run.folder / "manifest.csv").read_text().splitlines()[1:]}
    kept = [rows[0] + ",patient"] + [f"{r},{groups[r.split(',')[0]]}" for r in rows[1:] if r.endswith(",test")]
    (tmp_path / "ours.csv").write_text("\n".join(kept))
    (run,) = read_outside(tmp_path / "ours.csv")
    values = flat_metrics(run)
    for key in ("test/acc", "test/balanced_acc", "test/auroc_macro", "test/loss", "test/patient/acc"):
        assert values[key] == pytest.approx(tiny_run.metrics[key], abs=1e-6), key


def test_of_a_run_s_own_table_the_test_images_count_with_their_groups(tiny_run: Run, tmp_path: Path) -> None:
    (run,) = read_outside(tiny_run.folder / "predictions.csv")
    assert run.metrics["patients_known"]
    assert flat_metrics(run)["test/acc"] == pytest.approx(tiny_run.metrics["test/acc"])
    rows = (tiny_run.folder / "predictions.csv").read_text().splitlines()
    (tmp_path / "val.csv").write_text("\n".join([rows[0], *(r for r in rows if r.endswith(",val"))]))
    with pytest.raises(ConfigError, match="its column split has no test"):
        read_outside(tmp_path / "val.csv")


def test_patients_widen_intervals_and_are_counted(tmp_path: Path) -> None:
    (known,) = read_outside(csv_of(tmp_path / "a.csv"))
    (unknown,) = read_outside(csv_of(tmp_path / "b.csv", patients=False))
    assert len(by_patient(known.predictions["test"])) == 30
    text = evaluate_text([known])
    assert "90 images" in text
    assert "30 patients" in text
    assert ALONE not in text
    assert ALONE in evaluate_text([unknown])


def test_several_models_are_compared_on_the_same_images(tmp_path: Path, frostline: Frostline) -> None:
    a = csv_of(tmp_path / "weak.csv", seed=1, sure=0.5)
    b = csv_of(tmp_path / "strong.csv", seed=2, sure=9.0)
    code, out, _ = frostline("evaluate", str(a), str(b), "--page", str(tmp_path / "page.html"))
    assert code == 0
    assert "B is right more often" in out
    page = (tmp_path / "page.html").read_text()
    assert "B is right more often" in page
    assert "scans/" not in page
    assert "strong" in page


def test_a_column_names_the_models_of_one_file(tmp_path: Path) -> None:
    a, b = csv_of(tmp_path / "a.csv", model="small"), csv_of(tmp_path / "b.csv", seed=1, model="large")
    both = a.read_text() + "\n".join(b.read_text().splitlines()[1:])
    (tmp_path / "both.csv").write_text(both)
    assert [str(run.folder) for run in read_outside(tmp_path / "both.csv")] == ["small", "large"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("p_benign", "benign", "'benign' is none of the classes"),
        (",benign,", ",cyst,", "'cyst' is none of the classes"),
        ("scans/001.png", "scans/000.png", "scans/000.png stands there twice"),
    ],
)
def test_a_wrong_table_is_told_in_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = csv_of(tmp_path / "a.csv")
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=message) as told:
        together(read_outside(file))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x.png,benign,0.5,0.1,0.1,P", "line 92: 0.5, 0.1, 0.1 are no probabilities"),
        ("x.png,benign,nan,0.5,0.5,P", "line 92: p_benign is nan, no probability"),
        ("x.png,benign,much,0.5,0.5,P", "line 92: p_benign is 'much', no number"),
        ("x.png,benign,,0.5,0.5,P", "line 92: p_benign is empty"),
        ("x.png,benign,-0.1,0.6,0.5,P", "are no probabilities"),
    ],
)
def test_a_row_that_holds_no_probabilities_is_named(tmp_path: Path, row: str, message: str) -> None:
    file = csv_of(tmp_path / "a.csv")
    file.write_text(file.read_text() + row + "\n")
    with pytest.raises(ConfigError, match=message):
        read_outside(file)


def test_models_of_other_images_patients_or_classes_are_not_compared(tmp_path: Path) -> None:
    (a,) = read_outside(csv_of(tmp_path / "a.csv"))
    fewer = csv_of(tmp_path / "fewer.csv")
    fewer.write_text("\n".join(fewer.read_text().splitlines()[:-1]))
    moved = csv_of(tmp_path / "moved.csv")
    moved.write_text(moved.read_text().replace(",P0", ",P1"))
    for file, message in ((fewer, "not of the same images"), (moved, "of patient P1")):
        with pytest.raises(FrostlineError, match=message):
            together([a, *read_outside(file)])
    with pytest.raises(FrostlineError, match="one name"):
        together([a, a])


def test_what_is_no_table_of_predictions_is_told(tmp_path: Path) -> None:
    for content, message in (
        (b"", "no column path"),
        (b"\x89PNG\r\n\xff", "cannot be read|no column"),
        (b"path,true\na,b\n", "p_CLASS"),
    ):
        (tmp_path / "x.csv").write_bytes(content)
        with pytest.raises(ConfigError, match=message):
            read_outside(tmp_path / "x.csv")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_outside(tmp_path / "none.csv")


def test_arrays_of_other_lengths_and_one_class_alone_are_told() -> None:
    true, p, patients, _ = made()
    with pytest.raises(ConfigError, match="shape"):
        outside_run(true, p[:5], CLASSES)
    with pytest.raises(ConfigError, match="89 patients for 90 images"):
        outside_run(true, p, CLASSES, patients[:-1])
    with pytest.raises(ConfigError, match="nothing to tell apart"):
        outside_run(["benign"] * 90, p, CLASSES)


@pytest.mark.parametrize("unknown", [None, "", "nan", "N/A"])
def test_an_unknown_patient_is_no_patient(unknown: str | None) -> None:
    true, p, patients, _ = made()
    with pytest.raises(ConfigError, match="image 7: its patient is not given"):
        outside_run(true, p, CLASSES, [*patients[:7], unknown, *patients[8:]])


def test_a_page_of_two_classes_without_a_positive_one(tmp_path: Path) -> None:
    p = np.tile([[0.7, 0.3], [0.2, 0.8]], (10, 1))
    run = outside_run(["cat", "dog"] * 10, p, ("cat", "dog"), [f"P{i}" for i in range(20)])
    write_page([run], tmp_path / "page.html")
    assert "100.0 %" in (tmp_path / "page.html").read_text()
