"""Columns of a user's table reach the manifest with the images that they are of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from frostline.config.schema import DataConfig
from frostline.data.manifest import Example, manifest_csv, read_manifest
from frostline.data.subgroup_columns import read_columns
from frostline.errors import ConfigError

PATHS = ["benign/P1/a.png", "benign/P1/b.png", "benign/P2/a.png"]


def config(tmp_path: Path, text: str, *columns: str) -> DataConfig:
    (tmp_path / "patients.csv").write_text(text)
    return replace(DataConfig(), patients=str(tmp_path / "patients.csv"), subgroups=list(columns))


def test_a_value_is_found_for_every_image_by_path_or_pattern_and_none_is_empty(tmp_path: Path) -> None:
    table = "path,patient,Scanner Type,age\nP1/*,1,GE,54\n"
    found = read_columns(config(tmp_path, table, "scanner type", "age"), tmp_path, PATHS)
    assert found == [(("scanner type", "GE"), ("age", "54"))] * 2 + [(("scanner type", ""), ("age", ""))]


def test_a_column_may_stand_in_another_table_than_the_patients(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("path,class,sex\nP2/a.png,benign,f\n")
    both = replace(config(tmp_path, "path,patient\nP1/*,1\n", "sex"), table=str(tmp_path / "table.csv"))
    assert read_columns(both, tmp_path, PATHS)[2] == (("sex", "f"),)


def test_a_column_that_is_not_there_or_names_single_patients_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no column scanner in .*patients\.csv; there are path, patient"):
        read_columns(config(tmp_path, "path,patient\nP1/*,1\n", "scanner"), tmp_path, PATHS)
    many = [f"{i}.png" for i in range(30)]
    table = "path,who\n" + "".join(f"{name},name {name}\n" for name in many)
    with pytest.raises(ConfigError, match=r"column who of .* has 30 different values"):
        read_columns(config(tmp_path, table, "who"), tmp_path, many)
    ages = "path,who\n" + "".join(f"{name},{i}\n" for i, name in enumerate(many))
    assert len(read_columns(config(tmp_path, ages, "who"), tmp_path, many)) == 30


def test_the_manifest_carries_them_there_and_back_and_without_them_is_as_it_was(tmp_path: Path) -> None:
    examples = [
        Example(f"{split}.png", "a" * 64, "benign", "g", split, "table", (("Scanner Type", "GE, new"), ("age", "")))
        for split in ("train", "val", "test")
    ]
    text = manifest_csv(examples)
    assert text.splitlines()[0] == "path,sha256,class,group,grouped_by,split,Scanner Type,age"
    (tmp_path / "m.csv").write_text(text)
    assert read_manifest(tmp_path / "m.csv", ("benign",), ("Scanner Type", "age")) == examples
    assert [e.columns for e in read_manifest(tmp_path / "m.csv")] == [()] * 3
