"""Scanning: every image once, none forgotten in silence, classes never guessed wrong."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from frostline.data.folders import find_task
from frostline.data.images import Reading
from frostline.data.records import Scan, Unused, file_sha256, read_again, refuse_unreadable, scan_folder
from frostline.errors import ConfigError, FrostlineError

FOLDERS = {"benign": "benign", "malignant": "malignant", "normal": "normal"}


def scan(root: Path, folders: Mapping[str, str] = FOLDERS, cache: Path | None = None) -> Scan:
    return scan_folder(root, find_task(root, folders, (), "auto"), Reading(), cache or root.parent / "cache")


def same(one: Scan, other: Scan) -> bool:
    """Whether two scans found the same, thumbnails included."""
    found = [(s.root, s.task, s.records, s.unused) for s in (one, other)]
    return found[0] == found[1] and np.array_equal(one.thumbnails, other.thumbnails)


def unreadable(found: Scan) -> list[Unused]:
    return found.with_status("unreadable")


def paths(found: Scan) -> set[str]:
    return {r.path for r in found.records}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """One image a class."""
    for i, name in enumerate(FOLDERS):
        save(tmp_path / "tiny" / name / "a.png", i)
    return tmp_path / "tiny"


def save(path: Path, seed: int, shape: tuple[int, int] = (20, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, shape, np.uint8)).save(path)
    return path


@contextmanager
def remembered(root: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """What the cache of a scan holds, to be changed."""
    (file,) = (root.parent / "cache").glob("scan-*.json")
    entries = json.loads(file.read_text())
    yield entries
    file.write_text(json.dumps(entries))


def test_records_say_path_class_checksum_and_size(phantoms: Path, tmp_path: Path) -> None:
    found = scan(phantoms, cache=tmp_path)
    assert len(found.records) == 45
    assert [r.path for r in found.records] == sorted(r.path for r in found.records)
    first = found.records[0]
    assert (first.path, first.label, first.height, first.width) == ("benign/patient_000_slice_00.png", "benign", 96, 96)
    assert (first.bytes, first.sha256) == ((phantoms / first.path).stat().st_size, file_sha256(phantoms / first.path))
    assert [r.label for r in found.records] == ["benign"] * 15 + ["malignant"] * 15 + ["normal"] * 15


def test_height_and_width_are_not_swapped(tiny: Path) -> None:
    assert {(r.height, r.width) for r in scan(tiny).records} == {(20, 30)}


def test_images_in_nested_folders_with_capital_suffixes_and_odd_names_are_found(tiny: Path) -> None:
    odd = ["benign/P1/2019/IM.JPG", "benign/P1/scan.TIFF", 'benign/a, "b"; ü 肺 %s {x}\n.bmp', "benign/-x=1.png"]
    for i, name in enumerate(odd):
        save(tiny / name, 10 + i)
    assert {*odd, "benign/a.png"} <= paths(scan(tiny))


def test_hidden_files_and_what_is_no_image_are_not_part_of_the_data_set(tiny: Path) -> None:
    before = paths(scan(tiny))
    for name in ("._a.png", "Thumbs.db", ".DS_Store", "notes.txt", ".hidden/b.png", "__MACOSX/b.png"):
        (tiny / "benign" / name).parent.mkdir(exist_ok=True)
        (tiny / "benign" / name).write_bytes(b"\0\5\x16\7 not an image")
    found = scan(tiny)
    assert paths(found) == before
    assert {u.path: u.status for u in found.unused} == {
        f"benign/{name}": "no image"
        for name in ("._a.png", "Thumbs.db", ".DS_Store", "notes.txt", ".hidden/b.png", "__MACOSX/b.png")
    }


def test_every_file_below_the_root_is_accounted_for(tiny: Path) -> None:
    save(tiny / "other" / "b.png", 3)
    (tiny / "README.txt").write_text("about these data")
    (tiny / "normal" / "broken.png").write_bytes(b"no image")
    found = scan(tiny)
    everything = {p.relative_to(tiny).as_posix() for p in tiny.rglob("*") if p.is_file()}
    assert paths(found) | {u.path for u in found.unused} == everything
    assert {(u.path, u.status, u.kind) for u in found.unused if u.status != "unreadable"} == {
        ("other/b.png", "left out", "in no folder of a class"),
        ("README.txt", "no image", "in no folder of a class"),
    }


def test_a_class_of_which_nothing_can_be_used_is_refused_even_when_unreadable_files_are_skipped(tiny: Path) -> None:
    (tiny / "normal" / "a.png").write_bytes(b"no image")
    with pytest.raises(
        FrostlineError, match=r"of class normal no file can be used; left out are 1 unreadable, such as n"
    ):
        refuse_unreadable(scan(tiny), "skip")


def test_unreadable_files_are_counted_and_named_and_stop_the_run_unless_skipped(tiny: Path) -> None:
    (tiny / "normal" / "broken.png").write_bytes(b"no image")
    (tiny / "normal" / "empty.jpg").touch()
    (tiny / "normal" / "gone.png").symlink_to(tiny / "nowhere.png")
    found = scan(tiny)
    assert {u.path for u in unreadable(found)} == {"normal/broken.png", "normal/empty.jpg", "normal/gone.png"}
    assert {u.path: u.reason for u in unreadable(found)}["normal/gone.png"] == "broken link"
    assert len(found.records) == 3
    with pytest.raises(FrostlineError, match=r"3 of 6 files .*broken\.png.*empty\.jpg.*gone\.png.*on_unreadable=skip"):
        refuse_unreadable(found, "stop")
    refuse_unreadable(found, "skip")


def test_at_most_ten_unreadable_files_are_named(tiny: Path) -> None:
    for i in range(13):
        (tiny / "normal" / f"broken{i:02d}.png").touch()
    with pytest.raises(FrostlineError, match=r"broken09\.png \(empty file\); and 3 more"):
        refuse_unreadable(scan(tiny), "stop")


@pytest.mark.skipif(os.name == "nt", reason="names are always Unicode on Windows")
def test_a_name_that_is_no_text_is_unreadable_instead_of_a_crash_when_it_is_written(tiny: Path) -> None:
    name = os.fsdecode(b"\xe9.png")
    try:
        shutil.copy(tiny / "benign" / "a.png", tiny / "benign" / name)
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    found = scan(tiny)
    assert [(u.path, "rename" in u.reason) for u in unreadable(found)] == [(r"benign/\udce9.png", True)]
    assert len(found.records) == 3


def test_linked_folders_are_read_and_loops_end(tiny: Path, tmp_path: Path) -> None:
    save(tmp_path / "elsewhere" / "p.png", 7)
    (tmp_path / "elsewhere" / "back").symlink_to(tiny / "benign")
    (tiny / "benign" / "patient").symlink_to(tmp_path / "elsewhere")
    (tiny / "benign" / "self").symlink_to(tiny / "benign")
    (tiny / "benign" / "up").symlink_to(tiny)  # would make malignant images benign
    assert paths(scan(tiny)) == {"benign/a.png", "benign/patient/p.png", "malignant/a.png", "normal/a.png"}


def test_a_second_scan_reads_only_what_changed(tiny: Path) -> None:
    first = scan(tiny)
    assert same(scan(tiny), first)
    with remembered(tiny) as entries:  # what is in the cache now cannot come from the files
        for entry in entries.values():
            entry["height"] = 7
    save(tiny / "normal" / "a.png", 99)
    second = scan(tiny)
    assert [r.height for r in second.records] == [7, 7, 20]
    assert second.records[2].sha256 == file_sha256(tiny / "normal" / "a.png") != first.records[2].sha256
    assert np.array_equal(second.thumbnails[:2], first.thumbnails[:2])
    assert not np.array_equal(second.thumbnails[2], first.thumbnails[2])


def test_without_its_thumbnails_a_scan_is_made_anew(tiny: Path) -> None:
    first = scan(tiny)
    for file in (tiny.parent / "cache").glob("thumbnails-*.npy"):
        file.unlink()
    assert same(scan(tiny), first)


def test_a_image_replaced_by_one_of_the_same_size_and_date_is_noticed(tiny: Path) -> None:
    file = tiny / "normal" / "a.png"
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(file, compress_level=0)
    scan(tiny)
    stat = file.stat()
    Image.fromarray(np.full((20, 30), 9, np.uint8)).save(file, compress_level=0)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert scan(tiny).records[2].sha256 == file_sha256(file)


def test_an_unreadable_file_is_tried_again_since_a_decoder_may_have_been_installed(tiny: Path) -> None:
    first = scan(tiny)
    with remembered(tiny) as entries:
        for path in entries:
            entries[path] = {"status": "unreadable", "kind": "", "reason": "no decoder"}
    assert same(scan(tiny), first)


def test_a_damaged_cache_is_made_anew(tiny: Path) -> None:
    first = scan(tiny)
    for file in (tiny.parent / "cache").glob("scan-*.json"):
        file.write_text('{"benign/a.png": {"sta')
    assert same(scan(tiny), first)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ({**FOLDERS, "Cysts": "benign"}, "has no folder 'Cysts'"),
        ({**FOLDERS, "benign/P1": "normal"}, "'benign/P1' lies in 'benign'"),
        ({**FOLDERS, ".": "normal"}, "must be a folder below"),
        ({**FOLDERS, "../other": "normal"}, "must be a folder below"),
        ({**FOLDERS, "/tmp": "normal"}, "must be a folder below"),
        ({**FOLDERS, "hollow": "normal"}, "'hollow' .* holds no images"),
    ],
)
def test_folders_that_cannot_be_mapped_are_refused(tiny: Path, folders: dict[str, str], message: str) -> None:
    for name in ("benign/P1", "hollow", "../other"):
        (tiny / name).mkdir(exist_ok=True)
    with pytest.raises(ConfigError, match=message):
        scan(tiny, folders)


def test_several_folders_may_have_one_class(tiny: Path) -> None:
    save(tiny / "Cysts" / "c.png", 5)
    labels = {r.path: r.label for r in scan(tiny, {**FOLDERS, "Cysts": "benign"}).records}
    assert labels["Cysts/c.png"] == labels["benign/a.png"] == "benign"


def test_thumbnails_are_the_grey_of_the_image_made_small(tiny: Path) -> None:
    Image.fromarray(np.full((50, 90), 51, np.uint8)).save(tiny / "normal" / "flat.png")
    found = scan(tiny)
    assert (found.thumbnails.shape, found.thumbnails.dtype) == ((4, 64, 64), np.uint16)
    assert np.all(found.thumbnails[3] == round(0.2 * 65535))


def test_a_image_that_went_bad_after_the_scan_is_named(tiny: Path) -> None:
    (tiny / "malignant" / "a.png").write_bytes(b"gone bad")
    with pytest.raises(FrostlineError, match=r"malignant.a\.png can no longer be read"):
        read_again(tiny / "malignant" / "a.png", Reading())
