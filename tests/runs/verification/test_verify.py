"""`frostline verify` agrees with a run as it was written, and names what was changed since, of each kind."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frostline.data.manifest import Example, read_manifest
from frostline.runs.verification.check import Check, checks_text, few
from frostline.runs.verification.recorded import read_recorded
from frostline.runs.verification.verify import Verified, verify_run
from tests.conftest import Frostline, Run
from tests.runs.verification.conftest import write_run

Edit = Callable[[str, str, str], None]


def checks(home: Path, root: Path | None = None) -> dict[str, Check]:
    """The checks of the run by name."""
    return {c.name: c for c in verify_run(home / "logs" / "run", root).checks}


def differing(home: Path) -> dict[str, str]:
    """What differs, by check."""
    return {name: "\n".join(map(str, c.differs)) for name, c in checks(home).items() if c.differs}


def of_split(home: Path, split: str) -> list[Example]:
    return [e for e in read_manifest(home / "logs" / "run" / "manifest.csv") if e.split == split]


def lines_of(home: Path, name: str) -> list[str]:
    return (home / "logs" / "run" / name).read_text().splitlines()


def write_lines(home: Path, name: str, lines: list[str]) -> None:
    (home / "logs" / "run" / name).write_text("\n".join(lines) + "\n")


def test_a_run_as_a_network_left_it_agrees_in_every_check(tiny_run: Run, frostline: Frostline) -> None:
    code, out, err = frostline("verify", str(tiny_run.folder))
    assert (code, err) == (0, ""), out
    for name in ("folder", "files", "split", "drawn again", "leaks", "predictions", "facts", "metrics"):
        assert re.search(rf"^{name} +agrees: ", out, re.MULTILINE), name
    assert "everything that was checked agrees\n" in out
    assert re.search(r"^memory +a lookup of the most alike training image is right on [\d.]+ % ", out, re.MULTILINE)
    assert "\nnot seen  " in out


def test_patients_who_are_not_known_are_said(home: Path) -> None:
    assert checks(home)["split"].unseen == ()
    manifest = home / "logs" / "run" / "manifest.csv"
    manifest.write_text(re.sub(r"\bpattern\b", "copies", manifest.read_text()))
    assert "the patient of 48 of 48 images is not known" in checks(home)["split"].unseen[0]


def test_nothing_is_written_into_the_run(home: Path) -> None:
    before = {p: p.read_bytes() for p in (home / "logs" / "run").rglob("*") if p.is_file()}
    assert not differing(home)
    assert {p: p.read_bytes() for p in (home / "logs" / "run").rglob("*") if p.is_file()} == before


def test_a_changed_probability_is_named_with_its_image_and_moves_figures(home: Path) -> None:
    lines = lines_of(home, "predictions.csv")
    row = lines[1].split(",")
    lines[1] = ",".join([*row[:3], str(float(row[3]) / 2), *row[4:]])
    write_lines(home, "predictions.csv", lines)
    found = differing(home)
    assert f"1 image(s) whose probabilities do not add up to 1: {row[0]} (" in found["predictions"]
    assert re.search(r"val/loss: [\d.]+ in metrics\.json, [\d.]+ from predictions\.csv, [+-]", found["metrics"])
    assert {"files", "split", "drawn again", "leaks"}.isdisjoint(found)


def test_a_predicted_class_that_is_not_the_most_probable_is_named(home: Path) -> None:
    lines = lines_of(home, "predictions.csv")
    row = lines[1].split(",")
    row[2] = next(name for name in ("benign", "normal") if name != row[2])
    write_lines(home, "predictions.csv", [lines[0], ",".join(row), *lines[2:]])
    found = differing(home)
    assert list(found) == ["predictions"]
    assert found["predictions"] == f"1 image(s) whose predicted class is not the most probable: {row[0]}"


def test_a_swapped_label_in_the_manifest_is_seen_from_files_predictions_and_figures(home: Path, edit: Edit) -> None:
    e = next(e for e in of_split(home, "test") if e.label == "benign")
    edit("manifest.csv", f"{e.path},{e.sha256},benign", f"{e.path},{e.sha256},normal")
    found = differing(home)
    assert found["files"] == f"1 normal in manifest.csv, in a folder of benign: {e.path}"
    assert found["predictions"] == f"1 image(s) of another class than in manifest.csv: {e.path}"
    assert "test/benign/support" in found["metrics"]


def test_a_row_removed_from_the_manifest_is_seen_with_and_without_the_data(home: Path) -> None:
    e = of_split(home, "train")[0]
    write_lines(home, "manifest.csv", [line for line in lines_of(home, "manifest.csv") if e.path not in line])
    found = differing(home)
    assert found["files"] == f"1 added since: {e.path}"
    assert re.match(r"train/images: \d+ in metrics\.json, \d+ by manifest\.csv", found["facts"])
    shutil.rmtree(home / "data")
    assert list(differing(home)) == ["facts"]


def test_a_row_removed_from_the_predictions_is_named(home: Path) -> None:
    e = of_split(home, "test")[0]
    write_lines(home, "predictions.csv", [line for line in lines_of(home, "predictions.csv") if e.path not in line])
    found = differing(home)
    assert found["predictions"] == f"1 image(s) have no prediction: {e.path}"
    assert "test/images" in found["metrics"]


def test_an_image_that_was_replaced_is_named_and_not_looked_up(home: Path) -> None:
    e = of_split(home, "test")[0]
    Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)).save(home / "data" / e.path)
    found = checks(home)
    assert [str(f) for f in found["files"].differs] == [f"1 changed since, another checksum: {e.path}"]
    assert not found["drawn again"].done
    assert not found["memory"].done
    assert found["metrics"].state == "agrees"


def test_images_missing_damaged_and_added_are_told_apart(home: Path) -> None:
    gone, damaged = of_split(home, "train")[:2]
    (home / "data" / gone.path).unlink()
    (home / "data" / damaged.path).write_bytes(b"no image")
    shutil.copy(home / "data" / of_split(home, "train")[3].path, home / "data" / "benign" / "new.png")
    (line,) = [found for name, found in differing(home).items() if name == "files"]
    assert f"1 missing: {gone.path}" in line
    assert f"1 changed since, another checksum: {damaged.path}" in line
    assert "1 added since: benign/new.png" in line


def test_an_edited_figure_is_named_and_by_how_much(home: Path, edit: Edit) -> None:
    acc = json.loads((home / "logs" / "run" / "metrics.json").read_text())["test/acc"]
    edit("metrics.json", f'"test/acc": {acc}', '"test/acc": 0.99')
    found = differing(home)
    assert list(found) == ["metrics"]
    assert re.fullmatch(r"test/acc: 0\.99 in metrics\.json, [\d.]+ from predictions\.csv, \+[\d.]+", found["metrics"])


def test_a_figure_added_or_taken_away_is_named(home: Path, edit: Edit) -> None:
    edit("metrics.json", '"test/acc":', '"test/ac":')
    found = differing(home)["metrics"]
    assert "test/acc: not in metrics.json" in found
    assert "test/ac: in metrics.json, not computed" in found


def test_predictions_of_images_that_are_in_training_are_named(home: Path) -> None:
    trained, tested = of_split(home, "train")[0], of_split(home, "test")[0]
    lines = [line.replace(tested.path, trained.path) for line in lines_of(home, "predictions.csv")]
    write_lines(home, "predictions.csv", lines)
    found = differing(home)["predictions"]
    assert f"1 image(s) predicted as test, but of training in manifest.csv: {trained.path}" in found
    assert f"1 image(s) have no prediction: {tested.path}" in found


def test_a_prediction_of_no_image_of_the_data_set_is_named(home: Path) -> None:
    tested = of_split(home, "test")[0]
    lines = [line.replace(tested.path, "benign/other.png") for line in lines_of(home, "predictions.csv")]
    write_lines(home, "predictions.csv", lines)
    assert "1 predicted image(s) are not in manifest.csv: benign/other.png" in differing(home)["predictions"]


def test_an_image_moved_to_the_other_side_breaks_the_split_its_drawing_and_leaks(home: Path, edit: Edit) -> None:
    e = next(e for e in of_split(home, "test") if sum(o.group == e.group for o in of_split(home, "test")) > 1)
    row = next(line for line in lines_of(home, "manifest.csv") if line.startswith(f"{e.path},"))
    edit("manifest.csv", row, row.removesuffix("test") + "train")
    found = differing(home)
    assert "images have their group on another side too" in found["split"]
    assert f"split of 1 images (the first: train in manifest.csv, test drawn again): {e.path}" in found["drawn again"]
    assert re.search(r"\d+ of \d+ test images have one of their group in training", found["leaks"])
    assert f"1 image(s) predicted as test, but of training in manifest.csv: {e.path}" in found["predictions"]


def test_another_seed_in_the_config_draws_another_split_and_is_another_fact(home: Path, edit: Edit) -> None:
    edit("config.yaml", "split_seed: 0", "split_seed: 1")
    edit("config.yaml", "freeze: 10", "freeze: 20")
    found = differing(home)
    assert re.search(r"^split of \d+ images \(the first: ", found["drawn again"])
    assert found["facts"] == "freeze: 10 in metrics.json, 20 by config.yaml"


def test_a_split_by_image_agrees_and_its_leaks_are_said(written: Path, tmp_path: Path) -> None:
    shutil.copytree(written / "data", tmp_path / "data")
    write_run(tmp_path, "data.split=random")
    found = checks(tmp_path)
    assert [name for name, c in found.items() if c.differs] == []
    assert "data.split=random lets groups stand on two sides: " in found["split"].says
    assert re.search(r"[1-9]\d* of \d+ test images have one of their group in training", found["leaks"].says)


def test_a_manifest_that_leaves_images_out_is_repeated(home: Path) -> None:
    lines = lines_of(home, "manifest.csv")
    dropped = next(i for i, line in enumerate(lines) if line.endswith(",train"))
    (home / "mine.csv").write_text("\n".join([*lines[:dropped], *lines[dropped + 1 :]]) + "\n")
    shutil.rmtree(home / "logs" / "run")
    write_run(home, "data.split=manifest", f"data.manifest={home / 'mine.csv'}")
    found = checks(home)
    assert {name: [str(f) for f in c.differs] for name, c in found.items() if c.differs} == {}
    assert found["drawn again"].done


def test_a_run_that_left_the_test_set_alone_agrees_and_is_looked_up_on_validation(home: Path) -> None:
    kept = [line for line in lines_of(home, "predictions.csv") if not line.endswith(",test")]
    write_lines(home, "predictions.csv", kept)
    file = home / "logs" / "run" / "metrics.json"
    metrics = json.loads(file.read_text()).items()
    file.write_text(json.dumps({k: v for k, v in metrics if not k.startswith("test/") or k.endswith("_in_train")}))
    assert differing(home) == {}
    assert " validation images; the network" in checks(home)["memory"].says


def test_a_figure_that_is_no_number_is_shown_as_it_stands(home: Path, edit: Edit) -> None:
    acc = json.loads((home / "logs" / "run" / "metrics.json").read_text())["test/acc"]
    edit("metrics.json", f'"test/acc": {acc}', '"test/acc": "high"')
    assert differing(home)["metrics"].startswith('test/acc: "high" in metrics.json, 0.')


def test_without_the_data_the_rest_is_checked_and_what_was_not_is_said(home: Path, frostline: Frostline) -> None:
    shutil.move(home / "data", home / "moved")
    code, out, _ = frostline("verify", str(home / "logs" / "run"))
    assert code == 0
    assert "the data set (data.root=" in out
    assert out.count("not checked: ") == 4
    assert "everything that was checked agrees; 4 checks could not be made" in out
    code, out, _ = frostline("verify", str(home / "logs" / "run"), f"--root={home / 'moved'}")
    assert code == 0
    assert "not checked" not in out


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("metrics.json", None, "metrics.json: is missing"),
        ("metrics.json", "{", "metrics.json: cannot be read ("),
        ("metrics.json", "[1]", "metrics.json: cannot be read (holds no names with values)"),
        ("predictions.csv", None, "predictions.csv: is missing"),
        ("predictions.csv", "path,true\n", "predictions.csv: cannot be read (has no column predicted, "),
        ("predictions.csv", "\x00\xff", "predictions.csv: cannot be read ("),
        ("manifest.csv", None, "manifest.csv: is missing"),
        ("manifest.csv", "path,class\na,b\n", "manifest.csv: cannot be read (has no column split"),
        ("config.yaml", None, "config.yaml: is missing"),
        ("config.yaml", "a: [", "config.yaml: cannot be read ("),
        ("config.yaml", "- 1", "config.yaml: cannot be read ("),
        ("environment.json", None, "environment.json: is missing"),
        ("environment.json", "", "environment.json: cannot be read ("),
    ],
)
def test_a_damaged_or_missing_file_is_one_line(home: Path, name: str, content: str | None, line: str) -> None:
    file = home / "logs" / "run" / name
    file.unlink()
    if content is not None:
        file.write_text(content, encoding="latin-1")
    (problem,) = read_recorded(home / "logs" / "run").problems
    assert problem.startswith(line)
    assert "\n" not in problem


@pytest.mark.parametrize("name", ["metrics.json", "predictions.csv", "manifest.csv", "config.yaml", "environment.json"])
def test_without_a_file_the_others_are_checked(home: Path, frostline: Frostline, name: str) -> None:
    (home / "logs" / "run" / name).unlink()
    code, out, err = frostline("verify", str(home / "logs" / "run"))
    assert (code, err) == (1, "")
    assert re.search(rf"^folder +differs: .*\n +{re.escape(name)}: is missing$", out, re.MULTILINE)
    assert "agrees: " in out
    assert out.count("differs: ") == 2  # that check, and the last line


def test_a_field_that_is_no_number_is_named_by_its_line(home: Path) -> None:
    lines = lines_of(home, "predictions.csv")
    row = lines[2].split(",")
    write_lines(home, "predictions.csv", [*lines[:2], ",".join([*row[:3], "much", *row[4:]]), *lines[3:]])
    assert differing(home)["folder"] == "predictions.csv line 3: has a field that is empty or no number"


def test_a_sensitivity_that_cannot_be_is_one_line(home: Path, edit: Edit) -> None:
    edit("config.yaml", "sensitivity: 0.95", "sensitivity: much")
    assert differing(home)["metrics"] == "config.yaml: sensitivity=much: must be above 0, at most 1"


def test_intervals_of_another_version_are_no_difference_and_are_said(home: Path, edit: Edit) -> None:
    metrics = json.loads((home / "logs" / "run" / "metrics.json").read_text())
    edit("metrics.json", f'"test/acc/why": "{metrics["test/acc/why"]}"', '"test/acc/why": "too few"')
    assert 'test/acc/why: "too few" in metrics.json' in differing(home)["metrics"]
    environment = json.loads((home / "logs" / "run" / "environment.json").read_text())
    environment["git_commit"] = "0123456789abcdef"
    (home / "logs" / "run" / "environment.json").write_text(json.dumps(environment))
    found = checks(home)["metrics"]
    assert found.state == "agrees"
    assert "the values agree, 1 ends of intervals are of another version" in found.says
    assert "commit 01234567" in found.unseen[0]
    edit("metrics.json", f'"test/acc": {metrics["test/acc"]}', '"test/acc": 0.99')
    assert list(differing(home)) == ["metrics"]  # a value is a value in every version


def test_the_lookup_is_the_nearest_training_image_judged_as_the_network_is(home: Path) -> None:
    def grey(e: Example) -> np.ndarray:
        with Image.open(home / "data" / e.path) as image:  # 64 x 64, as thumbnails are
            return np.asarray(image.convert("L"), float).ravel()

    train, test = of_split(home, "train"), of_split(home, "test")
    nearest = [max(train, key=lambda t, e=e: np.corrcoef(grey(t), grey(e))[0, 1]) for e in test]  # type: ignore[misc]
    right = np.mean([e.label == n.label for e, n in zip(test, nearest, strict=True)])
    verified: Verified = verify_run(home / "logs" / "run")
    assert verified.lookup["test/acc"] == pytest.approx(right)
    network = json.loads((home / "logs" / "run" / "metrics.json").read_text())["test/acc"]
    assert verified.lookup["gain/acc"] == pytest.approx(network - right)
    assert verified.lookup["gain/acc/lower"] <= network - right <= verified.lookup["gain/acc/upper"]


def test_programs_get_every_name(home: Path, frostline: Frostline) -> None:
    gone = [e.path for e in of_split(home, "train")[:7]]
    for path in gone:
        (home / "data" / path).unlink()
    code, out, _ = frostline("verify", "--json", str(home / "logs" / "run"))
    assert code == 1
    (found,) = json.loads(out)
    assert found["agrees"] is False
    (files,) = [c for c in found["checks"] if c["state"] == "differs"]
    assert files["check"] == "files"
    assert files["differs"] == [{"what": "7 missing", "files": gone}]


def test_one_of_several_runs_that_differs_is_enough(home: Path, tiny_run: Run, frostline: Frostline) -> None:
    e = of_split(home, "train")[0]
    (home / "data" / e.path).unlink()
    code, out, _ = frostline("verify", str(tiny_run.folder), str(home / "logs" / "run"))
    assert code == 1
    assert "everything that was checked agrees\n" in out
    assert "differs: files" in out


def test_what_is_no_run_folder_is_told_in_one_line(tmp_path: Path, frostline: Frostline) -> None:
    for folder, line in ((tmp_path, "is no run folder"), (tmp_path / "gone", "no such folder")):
        code, out, err = frostline("verify", str(folder))
        assert (code, out) == (1, "")
        assert line in err
        assert err.count("\n") == 1


def test_five_are_named_and_the_others_counted() -> None:
    assert few(list("abcdefg")) == "a, b, c, d, e and 2 more"
    assert few(["a"]) == "a"
    text = checks_text(
        [Check("files", "images", tuple("abcdefg"), ("patients",)), Check("x", "y", unseen=("patients",))]
    )
    assert text.count("patients") == 1  # said once
    assert "and 2 more; --json names them all" in text
