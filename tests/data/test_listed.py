"""Tables that users bring: rows find their files, and what cannot be meant is refused with the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from frostline.config.tables import read_table
from frostline.data.listed import PathIndex, column_by_path
from frostline.errors import ConfigError

PATHS = ["benign/P1/a.png", "benign/P1/b.png", "benign/P2/a.png", "Bengin cases/Bengin case (1).jpg"]


def patients(tmp_path: Path, text: str) -> tuple[dict[str, str], int]:
    (tmp_path / "t.csv").write_text(text)
    table = read_table(tmp_path / "t.csv", ["path", "patient"])
    return column_by_path(table, "patient", PathIndex("/data/set", PATHS))


@pytest.mark.parametrize(
    "path",
    ["benign/P1/b.png", "./benign/P1/b.png", "/data/set/benign/P1/b.png", "P1/b.png", "b.png", "benign\\P1\\b.png"],
)
def test_a_file_is_found_by_its_path_or_the_end_of_it(tmp_path: Path, path: str) -> None:
    assert patients(tmp_path, f"path,patient\n{path},x\n") == ({"benign/P1/b.png": "x"}, 0)


def test_brackets_in_a_name_are_no_pattern(tmp_path: Path) -> None:
    assert patients(tmp_path, "file,group\nBengin case (1).jpg,9\n") == ({PATHS[3]: "9"}, 0)


@pytest.mark.parametrize("pattern", ["benign/P1/*", "P1/*", "*/P1/?.png"])
def test_a_pattern_names_many_files(tmp_path: Path, pattern: str) -> None:
    assert patients(tmp_path, f"pattern,patient\n{pattern},x\n") == ({PATHS[0]: "x", PATHS[1]: "x"}, 0)


def test_rows_without_a_file_are_counted_and_a_table_of_nothing_but_such_is_refused(tmp_path: Path) -> None:
    assert patients(tmp_path, "path,patient\nb.png,x\nnowhere.png,y\n") == ({PATHS[1]: "x"}, 1)
    with pytest.raises(ConfigError, match=r"none of its 1 rows names a file of the data set, such as nowhere\.png"):
        patients(tmp_path, "path,patient\nnowhere.png,y\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,patient\na.png,x\n", r"t\.csv line 2: a\.png fits 2 files, benign/P1/a\.png and benign/P2/a\.png"),
        ("path,patient\nb.png,x\nP1/*,y\n", r"t\.csv line 3: benign/P1/b\.png has another patient than in line 2"),
        ("path,who\nb.png,x\n", r"has no column patient \(or patientid, .*\); its columns: path, who"),
        ("path,patient\n,x\n", r"line 2: path is empty"),
        ("path,patient\n", "has no rows"),
        ("", "has no column path"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        patients(tmp_path, text)


@pytest.mark.parametrize(
    "text", ["\ufeffpath;patient\r\nb.png;x\r\n", "path\tpatient\nb.png\tx\n", "Path,Patient_ID\nb.png,x\n"]
)
def test_what_spreadsheets_do_to_a_table_is_read_all_the_same(tmp_path: Path, text: str) -> None:
    assert patients(tmp_path, text) == ({PATHS[1]: "x"}, 0)
