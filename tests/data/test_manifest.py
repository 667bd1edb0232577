"""The manifest: written and read alike, and refused with the line or the files that are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from frostline.data.manifest import Example, manifest_csv, read_manifest, verify_manifest
from frostline.data.records import Record, file_sha256
from frostline.data.splits import SPLITS
from frostline.errors import FrostlineError
from frostline.task import LUNG
from tests.data.made import record

NINE = [
    Example(f"{folder}/{split}.png", f"{label}{i}" * 32, folder, f"g{label}{i}", split)
    for label, folder in enumerate(("benign", "malignant", "normal"))
    for i, split in enumerate(SPLITS)
]


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def altered(line: int, old: str, new: str) -> str:
    lines = manifest_csv(NINE).split("\n")
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new)
    return "\n".join(lines)


def test_a_manifest_reads_back_as_it_was_written_odd_names_included(tmp_path: Path) -> None:
    odd = ['benign/a, "b".png', "benign/ü 肺.png", "benign/ spaces .png", "benign/two\nlines.png", "benign/semi;colon"]
    examples = [*NINE, *(Example(path, "e" * 64, "benign", "g", "train") for path in odd)]
    assert read_manifest(write(tmp_path / "m.csv", manifest_csv(examples))) == examples


def test_a_manifest_has_a_header_and_one_line_a_image() -> None:
    lines = manifest_csv(NINE).splitlines()
    assert lines[0] == "path,sha256,class,group,grouped_by,split"
    assert lines[1] == f"benign/train.png,{'00' * 32},benign,g00,,train"
    assert len(lines) == 10


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + manifest_csv(NINE),
        manifest_csv(NINE).replace("\n", "\r\n"),
        "\ufeff" + manifest_csv(NINE).replace("\n", "\r\n") + "\r\n\r\n",
        manifest_csv(NINE).rstrip("\n"),
        manifest_csv(NINE).replace("benign/train.png", "./benign//train.png"),
        manifest_csv(NINE).replace(",", ";").replace(";val\n", ";Validation\n"),
    ],
    ids=["BOM", "CRLF", "BOM, CRLF and blank lines", "no last line end", "path spelt otherwise", "semicolons"],
)
def test_what_spreadsheets_and_windows_do_to_a_manifest_is_read_all_the_same(tmp_path: Path, text: str) -> None:
    assert read_manifest(write(tmp_path / "m.csv", text)) == NINE


def test_columns_may_be_in_any_order_with_others_beside_them(tmp_path: Path) -> None:
    rows = [line.split(",") for line in manifest_csv(NINE).splitlines()]
    text = "\n".join(",".join(["remark", *reversed(row)]) for row in rows)
    assert read_manifest(write(tmp_path / "m.csv", text)) == NINE


def test_checksums_in_capitals_are_the_same_checksums(tmp_path: Path) -> None:
    examples = [Example(e.path, "ab" * 32, e.label, e.group, e.split) for e in NINE]
    text = manifest_csv(examples).replace("ab" * 32, "AB" * 32)
    assert read_manifest(write(tmp_path / "m.csv", text)) == examples


def test_a_group_in_two_splits_is_read_for_random_splits_have_such(tmp_path: Path) -> None:
    examples = [Example(e.path, e.sha256, e.label, "one", e.split) for e in NINE]
    assert read_manifest(write(tmp_path / "m.csv", manifest_csv(examples))) == examples


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (altered(3, ",benign,", ",bengin,"), "line 3: class 'bengin' is none of benign, malignant, normal"),
        (altered(4, ",test", ",Tset"), "line 4: split 'Tset' is none of train, val, test"),
        (altered(5, ",g10,,train", ""), "line 5: split is empty"),
        (altered(6, "malignant/", "../malignant/"), "line 6: path '../malignant/val.png' is not below the root"),
        (altered(6, "malignant/", "a/../../malignant/"), "line 6: path .* is not below the root"),
        (altered(7, "malignant/", "/malignant/"), "line 7: path '/malignant/test.png' is not below the root"),
        (altered(8, "normal/train.png", ""), "line 8: path is empty"),
        (altered(2, "benign/train.png", "\n\nbenign/train.png").replace(",g02,,test", ",g02,,x"), "line 6: split 'x'"),
        (altered(3, "val.png", "train.png"), "benign/train.png stands in it more than once"),
        (altered(3, "val.png", "./train.png"), "benign/train.png stands in it more than once"),
        (altered(1, "split", "part"), "has no column split"),
        (altered(10, ",test", ",train"), "split test has no image of class normal"),
        (manifest_csv([]), "has no rows"),
        ("", "has no column"),
        (altered(3, "benign/", '"benign/'), "cannot be read as CSV"),
    ],
)
def test_a_faulty_manifest_is_refused_with_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FrostlineError, match=message) as error:
        read_manifest(write(tmp_path / "m.csv", text), LUNG.classes)
    assert "m.csv" in str(error.value)


def test_a_manifest_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(manifest_csv(NINE).encode("utf-16"))
    with pytest.raises(FrostlineError, match="cannot be read as CSV in UTF-8"):
        read_manifest(tmp_path / "m.csv")


def test_checksums_and_groups_may_be_left_out(tmp_path: Path) -> None:
    lines = [f"{e.path},{e.label},{e.split}" for e in NINE]
    examples = read_manifest(write(tmp_path / "m.csv", "\n".join(["path,class,split", *lines])))
    assert examples == [Example(e.path, "", e.label, "", e.split) for e in NINE]


@pytest.fixture
def held(tmp_path: Path) -> tuple[Path, list[Example]]:
    """A data set of 13 files and its manifest."""
    root = tmp_path / "data"
    root.mkdir()
    files = [write(root / f"{i:02d}.png", f"content {i}") for i in range(13)]
    return root, [Example(file.name, file_sha256(file), "benign", "g", "train") for file in files]


def records_of(examples: Sequence[Example], root: Path) -> list[Record]:
    return [record(e.path, sha256=file_sha256(root / e.path)) for e in examples if (root / e.path).is_file()]


def test_a_manifest_whose_files_are_as_they_were_is_accepted(held: tuple[Path, list[Example]]) -> None:
    root, examples = held
    verify_manifest(root / "m.csv", examples, root, records_of(examples, root))
    verify_manifest(root / "m.csv", examples[:5], root, records_of(examples, root))


def test_changed_and_missing_files_are_refused_by_name_together(held: tuple[Path, list[Example]]) -> None:
    root, examples = held
    write(root / "02.png", "other content")
    (root / "04.png").unlink()
    with pytest.raises(FrostlineError, match=r"1 missing: 04\.png; 1 changed: 02\.png$"):
        verify_manifest(root / "m.csv", examples, root, records_of(examples, root))


def test_at_most_ten_files_are_named(held: tuple[Path, list[Example]]) -> None:
    root, examples = held
    for e in examples:
        (root / e.path).unlink()
    with pytest.raises(FrostlineError, match=r"13 missing: 00\.png, .*, 09\.png and 3 more$"):
        verify_manifest(root / "m.csv", examples, root, [])


def test_files_that_the_scan_does_not_hold_are_refused_and_not_dropped(held: tuple[Path, list[Example]]) -> None:
    root, examples = held
    with pytest.raises(FrostlineError, match=r"1 not readable, or in no folder of data\.folders: 12\.png"):
        verify_manifest(root / "m.csv", examples, root, records_of(examples[:-1], root))


def test_a_changed_file_that_can_no_longer_be_read_counts_as_changed(held: tuple[Path, list[Example]]) -> None:
    root, examples = held
    write(root / "12.png", "damaged")
    with pytest.raises(FrostlineError, match=r"1 changed: 12\.png$"):
        verify_manifest(root / "m.csv", examples, root, records_of(examples[:-1], root))
