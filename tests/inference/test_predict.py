"""What a checkpoint says of new images is what its run said of them, whatever else lies in the folder."""

from __future__ import annotations

import csv
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pyarrow import parquet  # type: ignore[import-untyped]  # it ships no types

from frostline.config.compose import compose_config
from frostline.data.reading import Reading
from frostline.errors import FrostlineError
from frostline.evaluation.calibration import scale
from frostline.inference.command import split_arguments
from frostline.inference.network import Network, load_network
from frostline.inference.stream import answer_read
from frostline.runs.folder import RunFolder
from frostline.task import Task
from frostline.training.recipe import train_once
from tests.conftest import Frostline, Run, data_of


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return [*csv.DictReader(lines)]


@pytest.fixture(scope="module")
def second(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of another seed."""
    folder = tmp_path_factory.mktemp("second") / "run"
    train_once(compose_config([*tiny_run.overrides, "seed=1"]), folder)
    return folder


@pytest.fixture
def images(tiny_run: Run, phantoms_of: Path, tmp_path: Path) -> Path:
    """The validation images of the run, in a folder of their own."""
    folder = tmp_path / "new images"
    folder.mkdir()
    for row in rows_of(RunFolder(tiny_run.folder).predictions):
        if row["split"] == "val":
            shutil.copy(phantoms_of / row["path"], folder / row["path"].replace("/", "_"))
    return folder


@pytest.fixture(scope="module")
def phantoms_of(tiny_run: Run) -> Path:
    return data_of(tiny_run)


def test_a_checkpoint_says_of_images_what_its_run_said(
    tiny_run: Run, images: Path, tmp_path: Path, frostline: Frostline
) -> None:
    out = tmp_path / "out" / "answers.csv"
    code, printed, err = frostline("predict", str(tiny_run.folder), str(images), "--out", str(out), "--batch", "4")
    assert (code, err) == (0, "")
    assert "by 1 network: " in printed
    assert "no diagnosis" in printed
    run, metrics = RunFolder(tiny_run.folder), tiny_run.metrics
    said = {Path(row["path"]).name: row for row in rows_of(out)}
    expected = [row for row in rows_of(run.predictions) if row["split"] == "val"]
    assert len(said) == len(expected)
    for row in expected:
        got = said[row["path"].replace("/", "_")]
        raw = np.array([[float(row[f"p_{name}"]) for name in ("benign", "malignant", "normal")]])
        want = scale(raw, metrics["temperature"])[0]
        assert [float(got[f"p_{name}"]) for name in ("benign", "malignant", "normal")] == pytest.approx(want, abs=2e-3)
        assert got["predicted"] == row["predicted"]
        assert float(got["entropy"]) == pytest.approx(-(want * np.log2(want)).sum(), abs=1e-2)
        if abs(raw[0, 1] - metrics["operating/threshold"]) > 1e-3:
            assert got["malignant_at_threshold"] == str(raw[0, 1] >= metrics["operating/threshold"]).lower()
        assert got["flag"] == ""
        assert got["set"] == "benign;malignant;normal"  # two groups of a class cannot say
    assert "in every prediction set: benign, malignant, normal; sets that hold 90.0 % of a class's images" in printed


def test_a_bad_file_is_a_flagged_row_and_stops_nothing(
    tiny_run: Run, images: Path, tmp_path: Path, frostline: Frostline
) -> None:
    good = sorted(images.iterdir())[0]
    (images / "0 torn.png").write_bytes(good.read_bytes()[:200])
    (images / "1 no image.png").write_text("notes")
    (images / "2 gone.png").symlink_to(tmp_path / "nowhere.png")
    (images / "notes.txt").write_text("no image, and no suffix of one")
    out = tmp_path / "answers.jsonl"
    names = [str(images / "2 gone.png"), str(images / "*.png")]
    code, printed, err = frostline("predict", str(tiny_run.folder / "model.ckpt"), *names, "--out", str(out))
    assert (code, err) == (0, "")
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert "3 without an answer" in printed
    flagged = {Path(row["path"]).name: row for row in rows if row["flag"]}
    assert set(flagged) == {"0 torn.png", "1 no image.png", "2 gone.png"}
    assert all(row["predicted"] is None and row["p_benign"] is None for row in flagged.values())
    assert len(rows) - len(flagged) == 6
    code, printed, _ = frostline("predict", str(tiny_run.folder), str(images), "--out", str(out))
    assert code == 0
    assert "2 without an answer" in printed or "3 without an answer" in printed  # a folder's text is no image


def test_sets_shrink_with_the_coverage_that_is_asked_for(
    tiny_run: Run, images: Path, tmp_path: Path, frostline: Frostline
) -> None:
    out = tmp_path / "answers.csv"
    code, printed, _ = frostline("predict", str(tiny_run.folder), str(images), "--out", str(out), "--coverage", "0.5")
    assert code == 0
    assert "in every prediction set" not in printed
    network = load_network(tiny_run.folder / "model.ckpt")
    limits = network.limits(0.5)
    rows = [r for r in rows_of(RunFolder(tiny_run.folder).predictions) if r["split"] == "val"]
    for row, got in zip(sorted(rows, key=lambda r: r["path"].replace("/", "_")), rows_of(out), strict=True):
        assert Path(got["path"]).name == row["path"].replace("/", "_")
        raw = {name: float(row[f"p_{name}"]) for name in network.task.classes}
        near = any(abs(1 - p - at) < 1e-3 for p, at in zip(raw.values(), limits, strict=True))
        want = [name for (name, p), at in zip(raw.items(), limits, strict=True) if 1 - p <= at]
        assert near or got["set"] == ";".join(want)


def test_images_of_another_kind_are_flagged_and_answered(
    tiny_run: Run, images: Path, tmp_path: Path, frostline: Frostline
) -> None:
    rng = np.random.default_rng(0)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for i in range(6):
        Image.fromarray(rng.integers(0, 256, (64, 64), np.uint8)).save(foreign / f"{i}.png")
    out = tmp_path / "answers.csv"
    code, printed, err = frostline("predict", str(tiny_run.folder), str(images), str(foreign), "--out", str(out))
    assert (code, err) == (0, "")
    far = {Path(r["path"]).parent.name: [] for r in rows_of(out)}
    for row in rows_of(out):
        assert row["predicted"]
        far[Path(row["path"]).parent.name].append(float(row["unlike"]))
        assert (row["flag"] != "") == (float(row["unlike"]) > 1)
    assert min(far["foreign"]) > max(far["new images"])
    assert min(far["foreign"]) > 1
    assert "are unlike the images it was trained on" in printed


def test_by_patient_stands_the_mean_over_slices(
    tiny_run: Run, images: Path, tmp_path: Path, frostline: Frostline
) -> None:
    (images / "malignant_patient_999_slice_00.png").write_bytes(b"torn")
    out, table = tmp_path / "answers.csv", tmp_path / "patients.csv"
    names = sorted(file.name for file in images.iterdir())
    table.write_text("path,patient\n" + "".join(f"{name},{name.split('_slice')[0]}\n" for name in names))
    found = []
    for options in (["--patients", str(table)], ["--patient-pattern", r"/(\w+_patient_\d+)_slice"]):
        code, printed, err = frostline("predict", str(tiny_run.folder), str(images), "--out", str(out), *options)
        assert (code, err) == (0, "")
        assert "answers_by_patient.csv: 4 patients" in printed
        found.append(rows_of(tmp_path / "answers_by_patient.csv"))
    assert found[0] == found[1]
    slices = rows_of(out)
    for row in found[0]:
        own = [s for s in slices if s["patient"] == row["patient"] and not s["flag"]]
        assert int(row["slices"]) == len(own)
        if not own:
            assert (row["patient"], row["unread"], row["predicted"]) == ("malignant_patient_999", "1", "")
            continue
        mean = {n: sum(float(s[f"p_{n}"]) for s in own) / len(own) for n in ("benign", "malignant", "normal")}
        assert {n: float(row[f"p_{n}"]) for n in mean} == pytest.approx(mean, abs=2e-6)
        assert row["predicted"] == max(mean, key=lambda n: mean[n])
    code, _, err = frostline("predict", str(tiny_run.folder), str(images), "--patient-pattern", "(Z+)")
    assert code == 2
    assert "fits none of 7 paths" in err


def test_several_checkpoints_answer_together(
    tiny_run: Run, second: Path, images: Path, tmp_path: Path, frostline: Frostline
) -> None:
    def told(*networks: Path) -> list[dict[str, str]]:
        out = tmp_path / "answers.csv"
        code, _, err = frostline("predict", *map(str, networks), str(images), "--out", str(out))
        assert (code, err) == (0, "")
        return rows_of(out)

    one, two, both = told(tiny_run.folder), told(second), told(tiny_run.folder, second)
    assert "disagreement" not in one[0]
    for a, b, mean in zip(one, two, both, strict=True):
        for name in ("benign", "malignant", "normal"):
            assert float(mean[f"p_{name}"]) == pytest.approx(
                (float(a[f"p_{name}"]) + float(b[f"p_{name}"])) / 2, abs=2e-6
            )
        others = [r["predicted"] != mean["predicted"] for r in (a, b)]
        assert float(mean["disagreement"]) == pytest.approx(sum(others) / 2)


class Command:
    """Runs something when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('executed')",)


def test_a_hostile_or_damaged_checkpoint_gets_one_line(tiny_run: Run, tmp_path: Path) -> None:
    whole = tiny_run.folder / "model.ckpt"
    content = torch.load(whole, weights_only=True)
    record = content["frostline"]

    def chosen(**values: object) -> dict[str, object]:
        return {**content, "frostline": {**record, "chosen": {**record["chosen"], **values}}}

    def refused(file: Path, words: str) -> None:
        with pytest.raises(FrostlineError, match=words) as error:
            load_network(file)
        assert "\n" not in str(error.value)
        assert str(file) in str(error.value) or "data.classes" in str(error.value) or "model.name" in str(error.value)

    refused(tmp_path / "none.ckpt", "there is no such checkpoint")
    for name, data in {"torn": whole.read_bytes()[:5000], "empty": b"", "text": b"hello"}.items():
        (tmp_path / f"{name}.ckpt").write_bytes(data)
        refused(tmp_path / f"{name}.ckpt", "nothing else is read")
    (tmp_path / "pickle.ckpt").write_bytes(pickle.dumps(Command()))
    refused(tmp_path / "pickle.ckpt", "nothing else is read")
    torch.save({"frostline": Command()}, tmp_path / "hidden.ckpt")
    refused(tmp_path / "hidden.ckpt", "nothing else is read")

    broken = {
        "no_record": ({"state_dict": {}}, "no checkpoint of frostline"),
        "no_weights": ({**content, "state_dict": {}}, "record is damaged"),
        "classes": ({**content, "frostline": {**record, "classes": ["one"]}}, "two classes or more"),
        "network": ({**content, "frostline": {**record, "model": {**record["model"], "name": "resnet1e9"}}}, "no such"),
        "width": ({**content, "frostline": {**record, "model": {**record["model"], "head_widths": [65536]}}}, "sizes"),
        "size": ({**content, "frostline": {**record, "image_size": 65536}}, "sizes"),
        "std": ({**content, "frostline": {**record, "input": {**record["input"], "std": [0, 1, 1]}}}, "above 0"),
        "flat": ({**content, "frostline": {**record, "window": [0, 0]}}, "above 0"),
        "chosen": (chosen(temperature=float("nan")), "where a number"),
        "cold": (chosen(temperature=0.0), "above 0"),
        "sets": (chosen(conformal=record["chosen"]["conformal"][:1]), "not those of its classes"),
        "short": (chosen(conformal=[{"scores": [], "weights": [0.5]}] * 3), "not those of its classes"),
        "input": ({**content, "frostline": {**record, "input": {"mean": [1], "std": "x", "turned": 1}}}, "damaged"),
        "window": ({**content, "frostline": {**record, "window": None}}, "damaged"),
    }
    for name, (changed, words) in broken.items():
        torch.save(changed, tmp_path / f"{name}.ckpt")
        refused(tmp_path / f"{name}.ckpt", words)


def test_a_study_stands_for_its_final_networks(tiny_run: Run, tmp_path: Path) -> None:
    for name in ("trial-0", "final-0", "final-1"):
        shutil.copytree(tiny_run.folder, tmp_path / name)
    metrics = {k: v for k, v in tiny_run.metrics.items() if not k.startswith("test/")}
    (tmp_path / "trial-0" / "metrics.json").write_text(json.dumps(metrics))
    checkpoints, images = split_arguments([str(tmp_path), "a.png"])
    assert checkpoints == [tmp_path / "final-0" / "model.ckpt", tmp_path / "final-1" / "model.ckpt"]
    assert images == ["a.png"]
    (tmp_path / "final-1" / "model.ckpt").unlink()
    with pytest.raises(FrostlineError, match=r"final-1/model.ckpt is gone"):
        split_arguments([str(tmp_path), "a.png"])


def test_a_checkpoint_of_before_is_said_to_know_less(
    tiny_run: Run, images: Path, tmp_path: Path, frostline: Frostline
) -> None:
    content = torch.load(tiny_run.folder / "model.ckpt", weights_only=True)
    for name in ("chosen", "familiar", "values"):
        del content["frostline"][name]
    torch.save(content, tmp_path / "old.ckpt")
    out = tmp_path / "answers.csv"
    code, printed, err = frostline("predict", str(tmp_path / "old.ckpt"), str(images), "--out", str(out))
    assert (code, err) == (0, "")
    assert "made by an earlier version: its probabilities are not calibrated" in printed
    assert "in every prediction set" not in printed
    assert "no threshold of" not in printed
    assert {row["malignant_at_threshold"] for row in rows_of(out)} == {""}


def test_parquet_has_the_columns_and_values_of_csv_in_their_types(
    tiny_run: Run, images: Path, tmp_path: Path, frostline: Frostline
) -> None:
    (images / "broken.png").write_bytes(b"nothing")
    out = tmp_path / "answers.parquet"
    for file in (out, tmp_path / "answers.csv"):
        code, _, err = frostline("predict", str(tiny_run.folder), str(images), "--out", str(file))
        assert (code, err) == (0, "")
    table = parquet.read_table(out).to_pylist()
    for row, plain in zip(table, rows_of(tmp_path / "answers.csv"), strict=True):
        assert list(row) == list(plain)
        assert row["predicted"] == (plain["predicted"] or None)
        assert row["p_benign"] == (float(plain["p_benign"]) if plain["p_benign"] else None)
    assert {type(row["malignant_at_threshold"]) for row in table} == {bool, type(None)}


def test_the_mirror_image_moves_probabilities_alone(
    tiny_run: Run, images: Path, tmp_path: Path, frostline: Frostline
) -> None:
    mirrored = tmp_path / "mirrored"
    mirrored.mkdir()
    for file in images.iterdir():
        with Image.open(file) as image:
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored / file.name)
    tables = []
    for folder, options in ((images, ()), (images, ("--tta",)), (mirrored, ("--tta",)), (mirrored, ())):
        out = tmp_path / "answers.csv"
        code, _, _ = frostline("predict", str(tiny_run.folder), str(folder), "--out", str(out), *options)
        assert code == 0
        tables.append(rows_of(out))
    plain, tta, other, turned = tables
    for a, b, c, d in zip(plain, tta, other, turned, strict=True):
        mean = (float(a["p_benign"]) + float(d["p_benign"])) / 2
        assert float(b["p_benign"]) == pytest.approx(mean, abs=1e-4)
        assert float(c["p_benign"]) == pytest.approx(mean, abs=1e-4)
        for column in ("set", "malignant_at_threshold", "unlike"):
            assert b[column] == a[column]


def test_answers_among_the_images_are_no_images(
    tiny_run: Run, images: Path, tmp_path: Path, frostline: Frostline
) -> None:
    for _ in range(2):
        code, printed, _ = frostline("predict", str(tiny_run.folder), f"{images}/*", "--out", str(images / "a.csv"))
        assert code == 0
        assert ": 6 files by 1 network" in printed
    code, _, err = frostline("predict", str(tiny_run.folder), f"{images}/*.csv", "--out", str(images / "a.csv"))
    assert code != 0
    assert "is the only file among the images" in err


def test_what_is_missing_is_told_in_a_line(tiny_run: Run, tmp_path: Path, frostline: Frostline) -> None:
    for folder in ("empty", "folder.csv"):
        (tmp_path / folder).mkdir()
    (tmp_path / "file").write_text("where a folder would be")
    run = str(tiny_run.folder)
    for arguments, words in (
        ([run], "no images given after"),
        ([str(tmp_path / "a.png")], "networks come first"),
        ([run, str(tmp_path / "a.png")], "there is no such file or folder"),
        ([run, str(tmp_path / "empty")], "no image below this folder"),
        ([run, run, "--out", "answers.xlsx"], "must end in .csv, .jsonl, .parquet"),
        ([run, run, "--out", str(tmp_path / "folder.csv")], "is a folder"),
        ([run, run, "--out", str(tmp_path / "file" / "a.csv")], "cannot be written"),
    ):
        code, _, err = frostline("predict", *arguments)
        assert code == 1 or code == 2
        assert words in err
        assert err.count("\n") == 1


def test_what_a_network_was_trained_on_or_chosen_by_is_told(
    tiny_run: Run, phantoms_of: Path, tmp_path: Path, frostline: Frostline
) -> None:
    out = tmp_path / "answers.csv"
    code, printed, _ = frostline("predict", str(tiny_run.folder), str(phantoms_of), "--out", str(out))
    assert code == 0
    split = {row["path"]: row["split"] for row in rows_of(RunFolder(tiny_run.folder).manifest)}
    said = {Path(row["path"]).relative_to(phantoms_of).as_posix(): row["seen"] for row in rows_of(out)}
    assert said == {path: {"train": "trained on", "val": "chosen by", "test": ""}[of] for path, of in split.items()}
    assert "were trained on, or a network was chosen by them (column seen)" in printed


def test_a_name_that_is_no_utf_8_does_not_end_the_rest(
    tiny_run: Run, images: Path, tmp_path: Path, frostline: Frostline
) -> None:
    first = sorted(images.iterdir())[0]
    odd = os.fsencode(images) + b"/\xff.png"
    try:
        Path(os.fsdecode(odd)).write_bytes(first.read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    for suffix in ("csv", "jsonl", "parquet"):
        out = tmp_path / f"answers.{suffix}"
        code, _, error = frostline("predict", str(tiny_run.folder), str(images), "--out", str(out))
        assert (code, error) == (0, "")
    assert any(row["path"].endswith("\\xff.png") for row in rows_of(tmp_path / "answers.csv"))
    assert [f.name for f in tmp_path.iterdir() if f.name.startswith(".")] == []


def test_the_class_that_must_not_be_missed_wins_a_tie() -> None:
    class Fixed(Network):
        def compute(self, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
            return np.tile([0.6, 0.4], (len(images), 1)), np.zeros((len(images), 2))

    def network(threshold: float) -> Network:
        task = Task(("normal", "tumour"), "tumour")
        return Fixed(task, 8, Reading(), 1.0, threshold, (), None, (), True, Path("model.ckpt"))

    image = torch.zeros(1, 1, 8, 8)
    for thresholds, want in (((0.3, 0.5), True), ((0.3, 0.5, 0.5), False), ((0.3, 0.3, 0.5), True)):
        (said,) = answer_read([network(t) for t in thresholds], [Path("a.png")], image, 0.9)
        assert said.positive is want


def test_slices_that_are_unlike_are_counted_for_their_patient(
    tiny_run: Run, images: Path, tmp_path: Path, frostline: Frostline
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    for file in images.iterdir():
        file.unlink()
    Image.fromarray(noise).save(images / "P1_noise.png")
    out, by_patient = tmp_path / "answers.csv", tmp_path / "answers_by_patient.csv"
    pattern = ("--patient-pattern", "(P1)_")
    code, printed, _ = frostline("predict", str(tiny_run.folder), str(images), "--out", str(out), *pattern)
    assert code == 0
    (row,) = rows_of(by_patient)
    assert (row["slices"], row["unlike"], row["unread"]) == ("1", "1", "0")
    assert "in 1 of them slices are unlike the training images" in printed
    frostline("predict", str(tiny_run.folder), str(images), "--out", str(out))
    assert not by_patient.exists()  # it would seem to belong to these answers


def test_nothing_of_the_user_is_overwritten(tiny_run: Run, images: Path, tmp_path: Path, frostline: Frostline) -> None:
    run, table, hidden = str(tiny_run.folder), tmp_path / "patients.csv", tmp_path / ".answers.csv"
    table.write_text("path,patient\n" + "".join(f"{f.name},p\n" for f in sorted(images.iterdir())))
    hidden.write_text("mine")
    (tmp_path / "folder_by_patient.csv").mkdir()
    own = RunFolder(tiny_run.folder).predictions
    kept = table.read_text(), own.read_text()
    for out, message in (
        (table, "is the table of patients"),
        (own, "is a file of a run"),
        (tmp_path / "folder.csv", "is a folder"),
    ):
        code, _, error = frostline("predict", run, str(images), "--patients", str(table), "--out", str(out))
        assert code != 0
        assert message in error
        assert len(error.strip().splitlines()) == 1
    code, _, _ = frostline("predict", run, str(images), "--out", str(tmp_path / "answers.csv"))
    assert code == 0
    assert (table.read_text(), own.read_text(), hidden.read_text()) == (*kept, "mine")


def test_networks_among_the_images_are_refused(
    tiny_run: Run, images: Path, tmp_path: Path, frostline: Frostline
) -> None:
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    shutil.copy(RunFolder(tiny_run.folder).config, unfinished)
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(unfinished / "curves.png")
    out = ("--out", str(tmp_path / "answers.csv"))
    for other in (unfinished, tmp_path / "other.ckpt"):
        code, _, error = frostline("predict", str(tiny_run.folder), str(images), str(other), *out)
        assert code != 0
        assert "is no image; networks come first, and of runs those that are finished" in error


def test_a_file_that_is_named_twice_counts_once(
    tiny_run: Run, images: Path, tmp_path: Path, frostline: Frostline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(images.parent)
    out = tmp_path / "answers.csv"
    frostline("predict", str(tiny_run.folder), str(images), images.name, "--out", str(out))
    assert len(rows_of(out)) == len([*images.iterdir()])
