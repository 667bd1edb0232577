"""Data as they come: published parts, tables, headers; splits are kept or drawn, and what leaks is counted."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from frostline.config.compose import compose_config
from frostline.config.schema import DataConfig, PhantomConfig
from frostline.data.dataset import SplitData, check_data, count_leaks, fingerprint_data, split_data
from frostline.data.manifest import Example, manifest_csv
from frostline.data.splits import SPLITS
from frostline.errors import ConfigError, FrostlineError
from frostline.task import LUNG

ConfigOf = Callable[..., DataConfig]


def patient(path: str) -> str:
    found = re.search(r"patient_\d+", path)
    assert found
    return found.group()


def splits(data: SplitData) -> dict[str, str]:
    return {e.path: e.split for e in data.examples}


@pytest.fixture
def published(phantoms: Path, tmp_path: Path) -> Path:
    """The phantoms in Training, valid and test folders; patients 3, 8 and 13 have slices in two of them."""
    root = tmp_path / "published"
    for file in phantoms.rglob("*.png"):
        number, slice_index = int(patient(file.name)[-3:]) % 5, int(file.stem[-2:])
        part = ("Training", "Training", "valid", "test" if slice_index else "valid", "test")[number]
        (root / part / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, root / part / file.parent.name)
    return root


def test_published_parts_are_kept_and_patients_on_both_sides_are_counted(
    published: Path, tmp_path: Path, config_of: ConfigOf
) -> None:
    data = split_data(config_of(published, split="folders", patient_pattern=r"(patient_\d+)"), tmp_path / "cache")
    assert {split: len(data.of(split)) for split in SPLITS} == {"train": 18, "val": 12, "test": 15}
    assert data.leaks == {"val": 0, "test": 0}  # validation and test share patients, training and test do not
    shutil.move(published / "valid" / "benign" / "patient_003_slice_00.png", published / "Training" / "benign")
    data = split_data(config_of(published, split="folders", patient_pattern=r"(patient_\d+)"), tmp_path / "cache")
    assert data.leaks == {"val": 0, "test": 2}


def test_published_parts_are_regrouped_unless_they_are_asked_for(
    published: Path, tmp_path: Path, config_of: ConfigOf
) -> None:
    data = split_data(config_of(published), tmp_path / "cache")
    assert len({(patient(e.path), e.split) for e in data.examples}) == 15
    assert any("Training, test, valid" in remark and "data.split=folders" in remark for remark in data.remarks)


def test_a_published_split_without_validation_gets_one_by_group_out_of_training(
    published: Path, tmp_path: Path, config_of: ConfigOf
) -> None:
    for file in (published / "valid").rglob("*.png"):
        shutil.move(file, published / "Training" / file.parent.name)
    (published / "valid" / "benign").rmdir()
    shutil.rmtree(published / "valid")
    data = split_data(config_of(published, split="folders"), tmp_path / "cache")
    assert {e.path for e in data.of("test")} == {p for p in splits(data) if p.startswith("test/")}
    assert {e.label for e in data.of("val")} == {"benign", "malignant", "normal"}
    assert data.leaks["val"] == 0
    assert any("no part for validation is published: " in remark for remark in data.remarks)


def test_images_in_no_part_are_refused_by_name(phantoms: Path, shared_cache: Path, config_of: ConfigOf) -> None:
    with pytest.raises(FrostlineError, match=r"45 of 45 images stand in no part .* such as benign/patient_000"):
        split_data(config_of(phantoms, split="folders"), shared_cache)


def write_table(file: Path, phantoms: Path, columns: dict[str, Callable[[Path], str]]) -> Path:
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(columns)
        writer.writerows([of(path) for of in columns.values()] for path in sorted(phantoms.rglob("*.png")))
    return file


def number(path: Path) -> int:
    return int(patient(path.name)[-3:])


TABLE: dict[str, Callable[[Path], str]] = {
    "file": lambda p: p.name,
    "label": lambda p: "cancer" if p.parent.name == "malignant" else "other",
    "patient_id": lambda p: f"Mrs {number(p)}",
    "split": lambda p: ("train", "train", "Validation", "test", "train")[number(p) % 5],
}


def test_one_table_replaces_folders_and_says_patients_and_splits(phantoms: Path, tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", phantoms, TABLE)
    config = compose_config(["data=folder", f"data.root={phantoms}", f"data.table={table}"])
    assert config.data.split == "table"
    assert check_data(config.data).classes == ("cancer", "other")
    data = split_data(config.data, tmp_path / "cache")
    assert data.patients_known
    assert {split: len(data.of(split)) for split in SPLITS} == {"train": 27, "val": 9, "test": 9}
    assert {e.grouped_by.split("+")[0] for e in data.examples} == {"table"}
    assert "Mrs" not in "".join(e.group for e in data.examples)


def test_columns_of_a_table_stand_in_the_manifest_which_repeats_them(phantoms: Path, tmp_path: Path) -> None:
    columns = TABLE | {"Scanner": lambda p: ("GE", "Siemens")[number(p) % 2]}
    table = write_table(tmp_path / "t.csv", phantoms, columns)
    words = ["data=folder", f"data.root={phantoms}", "data.subgroups=[scanner]"]
    data = split_data(compose_config([*words, f"data.table={table}"]).data, tmp_path / "cache")
    assert all(e.columns == (("scanner", ("GE", "Siemens")[number(Path(e.path)) % 2]),) for e in data.examples)
    (tmp_path / "m.csv").write_text(manifest_csv(data.examples))
    again = ["data.classes=[cancer,other]", "data.folders={malignant: cancer, benign: other, normal: other}"]
    config = compose_config([*words, "data.split=manifest", f"data.manifest={tmp_path / 'm.csv'}", *again])
    assert [e.columns for e in split_data(config.data, tmp_path / "cache").examples] == [
        e.columns for e in data.examples
    ]


def test_a_published_part_without_a_class_is_refused(phantoms: Path, tmp_path: Path) -> None:
    columns = TABLE | {"split": lambda p: "train" if p.parent.name == "malignant" else TABLE["split"](p)}
    table = write_table(tmp_path / "t.csv", phantoms, columns)
    config = compose_config(["data=folder", f"data.root={phantoms}", f"data.table={table}"])
    with pytest.raises(FrostlineError, match=r"data\.split=table: test has no image of cancer; data\.split=grouped"):
        split_data(config.data, tmp_path / "cache")


def test_without_a_column_for_splits_a_table_leaves_them_to_be_drawn(phantoms: Path, tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", phantoms, {k: v for k, v in TABLE.items() if k != "split"})
    config = compose_config(["data=folder", f"data.root={phantoms}", f"data.table={table}"])
    assert config.data.split == "grouped"
    data = split_data(config.data, tmp_path / "cache")
    assert data.leaks == {"val": 0, "test": 0}


def test_a_table_stands_beside_its_images_when_no_root_is_given(copy: Path, tmp_path: Path) -> None:
    write_table(copy / "t.csv", copy, TABLE)
    config = compose_config(["data=folder", f"data.table={copy / 't.csv'}"])
    data = split_data(config.data, tmp_path / "cache")
    assert len(data.examples) == 45
    assert [(u.path, u.kind) for u in data.unused] == [("t.csv", "not in data.table")]


def test_patients_of_a_table_stay_together_whatever_the_images_look_like(
    singles: Path, tmp_path: Path, config_of: ConfigOf
) -> None:
    table = write_table(
        tmp_path / "p.csv", singles, {"path": lambda p: p.name, "patient": lambda p: str(number(p) // 2)}
    )
    data = split_data(config_of(singles, patients=str(table)), tmp_path / "cache")
    assert len({(number(Path(e.path)) // 2, e.split) for e in data.examples}) == 9
    assert {e.grouped_by for e in data.examples} == {"table"}
    assert data.leaks == {"val": 0, "test": 0}


def test_another_table_of_patients_is_another_data_set_to_a_study(
    singles: Path, tmp_path: Path, config_of: ConfigOf
) -> None:
    columns = {"path": lambda p: p.name, "patient": lambda p: str(number(p) // 2)}
    table = write_table(tmp_path / "p.csv", singles, columns)
    before = fingerprint_data(config_of(singles, patients=str(table)), tmp_path / "cache")
    table.write_text(table.read_text().replace(",3\n", ",4\n"))
    assert fingerprint_data(config_of(singles, patients=str(table)), tmp_path / "cache") != before


def test_a_random_split_is_warned_of_by_patients_and_not_by_near_copies_alone(
    singles: Path, tmp_path: Path, config_of: ConfigOf
) -> None:
    table = write_table(tmp_path / "p.csv", singles, {"path": lambda p: p.name, "patient": lambda p: p.parent.name})
    data = split_data(config_of(singles, patients=str(table), split="random"), tmp_path / "cache")
    assert data.near_copies["test"] == 0
    assert data.leaks["test"] == len(data.of("test"))


def test_a_manifest_of_paths_classes_and_splits_gets_its_groups_here(
    phantoms: Path, tmp_path: Path, shared_cache: Path, config_of: ConfigOf
) -> None:
    table = write_table(
        tmp_path / "m.csv",
        phantoms,
        {"path": lambda p: p.relative_to(phantoms).as_posix(), "class": lambda p: p.parent.name,
         "split": lambda p: ("train", "train", "val", "test", "train")[number(p) % 5]},
    )  # fmt: skip
    data = split_data(config_of(phantoms, split="manifest", manifest=str(table)), shared_cache)
    assert len({e.group for e in data.examples}) == 15
    assert {len(e.sha256) for e in data.examples} == {64}
    assert {e.grouped_by for e in data.examples} == {"series+copies"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["data.split=table"], "data.table is not set: data.split=table needs"),
        (["data.table=/nowhere.csv"], "data.table=/nowhere.csv: there is no such file"),
        (["data.patients=/nowhere.csv"], "data.patients=/nowhere.csv: there is no such file"),
        (["data.values_offset=1024"], "data.values_offset=1024: goes with data.values=hu"),
        (["data.split=folders", "data.fold=0"], "data.fold=0: the folders are the split"),
        (["data.val_fold=5"], "data.val_fold=5: must be below data.folds=5"),
        (["data.fold=0", "data.folds=2"], "data.folds=2: data.fold takes 3 or more"),
        (["data.val_fold=0", "trainer.monitor=val/acc"], "images that choose the epoch score it too well"),
    ],
)
def test_options_that_do_not_go_together_are_refused(phantoms: Path, options: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose_config(["data=folder", f"data.root={phantoms}", *options])


def test_another_manifest_is_another_data_set(
    phantoms: Path, shared_cache: Path, tmp_path: Path, config_of: ConfigOf
) -> None:
    config = config_of(phantoms)
    examples = split_data(config, shared_cache).examples
    first, second = next((a, b) for a in examples for b in examples if a.label == b.label and a.split != b.split)
    swapped = {first.path: second.split, second.path: first.split}
    seen = {fingerprint_data(config, shared_cache)}
    for name, listed in (("a", examples), ("b", [replace(e, split=swapped.get(e.path, e.split)) for e in examples])):
        (tmp_path / name).write_text(manifest_csv(listed))
        seen.add(fingerprint_data(replace(config, split="manifest", manifest=str(tmp_path / name)), shared_cache))
    assert len(seen) == 3


@pytest.mark.parametrize("split", ["grouped", "copies", "random", "folders", "manifest"])
def test_validation_folds_have_one_test_set_and_score_all_other_images_once(
    published: Path, shared_cache: Path, tmp_path: Path, config_of: ConfigOf, split: str
) -> None:
    config = config_of(published, split=split if split != "manifest" else "folders")
    once = split_data(config, shared_cache)
    if split == "manifest":
        (tmp_path / "m.csv").write_text(manifest_csv(once.examples))
        config = replace(config, split="manifest", manifest=str(tmp_path / "m.csv"))
    turns = [split_data(replace(config, val_fold=fold, folds=2), shared_cache) for fold in range(2)]
    of = {part: [[e.path for e in turn.of(part)] for turn in turns] for part in ("val", "test")}
    assert of["test"][0] == of["test"][1] == [e.path for e in once.of("test")]
    assert sorted(of["val"][0] + of["val"][1]) == sorted(e.path for e in once.examples if e.split != "test")


@pytest.mark.parametrize("split", ["grouped", "random"])
def test_two_folders_of_the_same_content_have_the_same_manifest(
    phantoms: Path, shared_cache: Path, tmp_path: Path, config_of: ConfigOf, split: str
) -> None:
    first = split_data(config_of(phantoms, split=split), shared_cache)
    other = tmp_path / "somewhere else"
    for file in sorted(phantoms.rglob("*.png"), reverse=True):  # other inodes, dates and order
        (other / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, other / file.parent.name / file.name)
    second = split_data(config_of(other, split=split), tmp_path / "cache")
    assert manifest_csv(second.examples) == manifest_csv(first.examples)
    assert len(first.examples) == 45


@pytest.mark.parametrize("known", [None, r"(patient_\d+)"])
@pytest.mark.parametrize("seed", range(3))
def test_no_patient_is_in_two_splits_known_or_not(
    phantoms: Path, shared_cache: Path, config_of: ConfigOf, seed: int, known: str | None
) -> None:
    data = split_data(config_of(phantoms, split_seed=seed, patient_pattern=known), shared_cache)
    assert len({(patient(e.path), e.split) for e in data.examples}) == 15
    assert data.leaks == {"val": 0, "test": 0}
    assert {(e.label, e.split) for e in data.examples} == {
        (label, split) for label in LUNG.classes for split in ("train", "val", "test")
    }


def test_known_patients_stay_together_where_their_images_are_not_alike(
    singles: Path, tmp_path: Path, config_of: ConfigOf
) -> None:
    for i, file in enumerate(sorted(singles.rglob("*.png"))):
        target = tmp_path / "data" / file.parent.name / f"person{i // 2}_{i % 2}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    plain = config_of(tmp_path / "data", series_similarity=None)
    known = config_of(tmp_path / "data", patient_pattern=r"(person\d+)_")
    assert len({e.group for e in split_data(plain, tmp_path / "cache").examples}) == 18
    examples = split_data(known, tmp_path / "cache").examples
    assert len({(e.path.split("_")[0], e.split) for e in examples}) == 9


@pytest.mark.parametrize("seed", range(4))
def test_a_random_split_leaks_and_the_leaks_are_counted_right(
    phantoms: Path, shared_cache: Path, config_of: ConfigOf, seed: int
) -> None:
    data = split_data(config_of(phantoms, split="random", split_seed=seed), shared_cache)
    trained = {patient(e.path) for e in data.of("train")}
    truth = {split: sum(patient(e.path) in trained for e in data.of(split)) for split in ("val", "test")}
    assert data.leaks == truth
    assert truth["test"] > 0


def test_leaks_between_test_and_val_do_not_count_and_images_left_out_neither() -> None:
    examples = [
        Example(path, path, "benign", "g", split) for path, split in (("a", "test"), ("b", "val"), ("c", "train"))
    ]
    assert count_leaks({"a": "g", "b": "g", "c": "h", "left out": "h"}, examples) == {"val": 0, "test": 0}
    assert count_leaks({"a": "g", "b": "h", "c": "g", "left out": "h"}, examples) == {"val": 0, "test": 1}
    assert count_leaks(dict.fromkeys("abc", "g"), examples) == {"val": 1, "test": 1}


@pytest.mark.parametrize("seed", range(3))
def test_copies_under_two_class_names_are_never_in_two_splits(
    copy: Path, tmp_path: Path, config_of: ConfigOf, seed: int
) -> None:
    for i in (0, 1, 2):
        shutil.copyfile(copy / "benign" / f"patient_00{i}_slice_00.png", copy / "normal" / f"copy_{i}.png")
    data = split_data(config_of(copy, split_seed=seed), tmp_path / "cache")
    split_of = {e.path: e.split for e in data.examples}
    assert all(split_of[f"normal/copy_{i}.png"] == split_of[f"benign/patient_00{i}_slice_00.png"] for i in (0, 1, 2))
    assert data.leaks == {"val": 0, "test": 0}


def test_a_class_of_which_nothing_can_be_read_is_an_error_even_when_skipping(
    copy: Path, tmp_path: Path, config_of: ConfigOf
) -> None:
    for file in (copy / "benign").iterdir():
        file.write_bytes(b"no image")
    with pytest.raises(FrostlineError, match="of class benign no file can be used"):
        split_data(config_of(copy, on_unreadable="skip"), tmp_path / "cache")


def test_unreadable_files_stop_or_are_left_out_and_recorded(copy: Path, tmp_path: Path, config_of: ConfigOf) -> None:
    (copy / "benign" / "broken.png").write_bytes(b"no image")
    with pytest.raises(FrostlineError, match=r"1 of 46 files .*benign/broken\.png"):
        split_data(config_of(copy), tmp_path / "cache")
    data = split_data(config_of(copy, on_unreadable="skip"), tmp_path / "cache")
    assert [u.path for u in data.unused] == ["benign/broken.png"]
    assert len(data.examples) == 45


@pytest.mark.parametrize("split", ["grouped", "random"])
def test_a_manifest_brings_back_the_split_that_wrote_it(
    phantoms: Path, shared_cache: Path, tmp_path: Path, config_of: ConfigOf, split: str
) -> None:
    drawn = split_data(config_of(phantoms, split=split, split_seed=3), shared_cache)
    lines = manifest_csv(drawn.examples).splitlines()
    (tmp_path / "m.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]))
    listed = split_data(config_of(phantoms, split="manifest", manifest=str(tmp_path / "m.csv")), shared_cache)
    assert listed == drawn


def test_a_manifest_decides_which_images_and_which_classes(
    phantoms: Path, shared_cache: Path, tmp_path: Path, config_of: ConfigOf
) -> None:
    drawn = split_data(config_of(phantoms), shared_cache)
    kept = [e for e in drawn.examples if not e.path.endswith("slice_01.png")]
    text = (
        manifest_csv(kept).replace(",benign,", ",SWAP,").replace(",normal,", ",benign,").replace(",SWAP,", ",normal,")
    )
    (tmp_path / "m.csv").write_text(text)
    listed = split_data(config_of(phantoms, split="manifest", manifest=str(tmp_path / "m.csv")), shared_cache)
    assert [e.path for e in listed.examples] == [e.path for e in kept]
    assert [e.label for e in listed.examples[:1] + listed.examples[-1:]] == ["normal", "benign"]


def test_a_manifest_of_other_files_is_refused_by_name(copy: Path, tmp_path: Path, config_of: ConfigOf) -> None:
    (tmp_path / "m.csv").write_text(manifest_csv(split_data(config_of(copy), tmp_path / "cache").examples))
    (copy / "benign" / "patient_000_slice_00.png").rename(copy / "benign" / "renamed.png")
    shutil.copyfile(copy / "benign" / "renamed.png", copy / "normal" / "patient_010_slice_01.png")
    with pytest.raises(
        FrostlineError,
        match=r"1 missing: benign/patient_000_slice_00\.png; 1 changed: normal/patient_010_slice_01\.png",
    ):
        split_data(config_of(copy, split="manifest", manifest=str(tmp_path / "m.csv")), tmp_path / "cache")


def test_the_embedded_data_set_is_written_once_and_split_by_patient(tmp_path: Path) -> None:
    config = DataConfig(
        patient_pattern=r"(patient_\d+)", similarity=0.94, phantom=PhantomConfig(patients=3, slices=2, size=64)
    )
    first = split_data(config, tmp_path)
    stamps = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.png")}
    assert len(stamps) == len(first.examples) == 18
    assert split_data(config, tmp_path) == first
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.png")} == stamps
    assert len({(patient(e.path), e.split) for e in first.examples}) == 9
