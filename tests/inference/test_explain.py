"""`frostline explain` writes an overlay of every image and a sheet, tells of bad files, and overwrites nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Frostline, Run


@pytest.fixture
def slices(tiny_run: Run, tmp_path: Path) -> Path:
    folder = tmp_path / "slices"
    folder.mkdir()
    found = sorted((tiny_run.folder.parent).rglob("malignant/*.png")) or sorted(
        p for parent in tiny_run.folder.parents for p in parent.glob("logs/cache/phantoms*/malignant/*.png")
    )
    for file in found[:3]:
        shutil.copy(file, folder)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    return folder


@pytest.mark.parametrize("method", ["occlusion", "gradcam"])
def test_every_image_has_an_overlay_and_the_sheet_shows_all(
    tiny_run: Run, slices: Path, tmp_path: Path, frostline: Frostline, method: str
) -> None:
    out = tmp_path / "maps"
    code, text, _ = frostline("explain", str(tiny_run.folder), str(slices), "--out", str(out), "--method", method)
    assert code == 0
    assert "3 heat maps" in text
    assert "1 files without one: " in text
    assert "not whether it is right" in text
    assert ("One cell of Grad-CAM" in text) == (method == "gradcam")
    pictures = sorted(f.name for f in out.iterdir())
    assert len(pictures) == 4
    assert "contact_sheet.png" in pictures
    with Image.open(out / "contact_sheet.png") as sheet:
        assert min(sheet.size) > 200
    code, _, _ = frostline("explain", str(tiny_run.folder), str(slices), "--out", str(out), "--class", "benign")
    assert code == 0  # its own folder is written anew


def test_what_is_wrong_is_told_in_one_line(tiny_run: Run, slices: Path, tmp_path: Path, frostline: Frostline) -> None:
    run = str(tiny_run.folder)
    full = tmp_path / "full"
    full.mkdir()
    (full / "letter.txt").write_text("mine")
    for arguments, message in (
        ((run, str(slices), "--class", "cyst"), "--class cyst: these networks know benign"),
        ((run, str(slices / "broken.png")), "none of 1 files has a heat map"),
        ((run, str(slices), "--out", str(full)), "is not empty"),
        ((run,), "no images given"),
    ):
        out = () if "--out" in arguments else ("--out", str(tmp_path / "maps"))
        code, _, error = frostline("explain", *arguments, *out)
        assert code != 0
        assert message in error
        assert error.strip().count("\n") == 0
    assert [f.name for f in full.iterdir()] == ["letter.txt"]
