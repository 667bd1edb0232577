"""The page on a data set: self-contained, with images as the network gets them, and no path where none is wanted."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frostline.config.schema import DataConfig
from frostline.data.cache import load_image
from frostline.data.images import ImageFacts, Reading
from frostline.data.records import Record, Scan, Unused
from frostline.data.shortcuts import ABOVE, Shortcut
from frostline.errors import FrostlineError
from frostline.report.data_page import CHANGED, NAMED, OF_CLASS, DataView, assemble_data_view, write_data_page
from frostline.task import LUNG

SIZE = Shortcut("size", ABOVE, "size: predicts <the class>.", 0.5, 0.45, (0.3, 0.36), 0.005, 0.01, "one image a group")
FOUND = (SIZE,)
GROUPS = [f"g{i // 2}" for i in range(36)] + ["chain"] * 14


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """50 images of 3 classes, brighter above than below; the last 14 are one group."""
    root = tmp_path_factory.mktemp("secret") / "slices"
    records = []
    for i in range(50):
        label = LUNG.classes[i % 3 if i < 36 else 1]
        path = f"{label}/P{i}.png"
        (root / label).mkdir(parents=True, exist_ok=True)
        height, width = 40, 801 if i > 35 else 40
        rows = np.linspace(250, 5, height).astype(np.uint8)[:, None]
        Image.fromarray(np.tile(rows, (1, width))).save(root / path)
        facts = (
            ImageFacts("DICOM CT", -1000.0, 400.0 + i, is_hu=True) if i % 3 else ImageFacts("JPEG", 0, 255, quality=90)
        )
        records.append(Record(path, label, f"{i:064x}", height, width, 1000, facts))
    thumbnails = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (50, 64, 1))
    unused = (
        *(Unused(f"normal/x{i}.png", "unreadable", "", "empty <file>") for i in range(NAMED + 5)),
        Unused("notes.txt", "no image", "text", ""),
    )
    return Scan(root, LUNG, tuple(records), unused, thumbnails)


def config(**changes: object) -> DataConfig:
    return replace(DataConfig(name="folder", image_size=48, augment="strong"), **changes)  # type: ignore[arg-type]


def written(view: DataView, tmp_path: Path) -> str:
    write_data_page(view, tmp_path / "data.html")
    return re.sub(r"\s+", " ", (tmp_path / "data.html").read_text())


def grey_of(image: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(image.split(",")[1]))), float) / 255


def test_the_page_has_everything_and_needs_no_network(scan: Scan, tmp_path: Path) -> None:
    text = written(assemble_data_view(scan, GROUPS, config(), FOUND, ["first <line>", "second"]), tmp_path)
    assert "<h1>Data set slices</h1>" in text
    assert str(scan.root.parent) not in text
    assert "secret" not in text
    assert "first &lt;line&gt; second" in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert not re.search(r"@import|url\((?!#)", text)
    for title in ("What the network sees", "Shortcuts", "Grey", "Sizes, kinds and ranges", "Groups", "not used"):
        assert title in text
    assert "<td>45.0 %</td><td>30.0 to 36.0 %</td><td>50.0 %</td><td>0.010</td><td>above chance</td>" in text
    assert "size: predicts &lt;the class&gt;." in text
    assert "<th>801 x 40</th><td>-</td><td>14</td><td>-</td>" in text
    assert "Range of the images in HU" in text
    assert "estimated JPEG quality" in text
    assert f"unreadable: {NAMED + 5}" in text
    assert "and 5 more" in text
    assert "empty &lt;file&gt;" in text
    assert "no diagnosis" in text
    assert len(text) < 2_000_000


def test_without_names_no_path_is_shown(scan: Scan, tmp_path: Path) -> None:
    text = written(assemble_data_view(scan, GROUPS, config(), FOUND, [], names=False), tmp_path)
    assert not re.search(r"P\d+\.png|x\d+\.png|notes\.txt", text)
    assert "unreadable: 25" in text


def test_images_stand_as_they_arrive_in_the_network(scan: Scan) -> None:
    plain = assemble_data_view(scan, GROUPS, config(), [], [])
    turned = assemble_data_view(scan, GROUPS, config(), [], [], ras_axes=True)
    strip = plain.sheet[0]
    assert strip.title == "benign: 12 of 12"
    want = load_image(scan.root / strip.pictures[0].caption, 48, Reading())[0].numpy()
    np.testing.assert_allclose(grey_of(strip.pictures[0].image), want, atol=0.03)
    np.testing.assert_allclose(grey_of(turned.sheet[0].pictures[0].image), want[::-1, ::-1].T, atol=0.03)
    assert "48 x 48" in plain.arrival
    assert "window of 1500 HU around -600 HU" in plain.arrival
    assert (plain.arrival.endswith("; not turned."), "RAS" in turned.arrival) == (True, True)


def test_ras_axes_turn_as_the_network_does() -> None:
    import torch

    from frostline.models.classifier import turn

    image = torch.rand(1, 5, 7)
    np.testing.assert_array_equal(turn(image)[0].numpy(), image[0].numpy()[::-1, ::-1].T)


def test_the_sheet_shows_each_group_once_before_any_twice_and_is_drawn_by_the_seed(scan: Scan) -> None:
    groups = dict(zip((r.path for r in scan.records), GROUPS, strict=True))
    view = assemble_data_view(scan, GROUPS, config(), [], [])
    for strip in view.sheet:
        assert len(strip.pictures) == OF_CLASS
    shown = [groups[p.caption] for p in view.sheet[1].pictures]
    assert shown.count("chain") == 1  # 14 of 26 malignant images, but one group of 13
    assert view.sheet == assemble_data_view(scan, GROUPS, config(), [], []).sheet
    assert view.sheet != assemble_data_view(scan, GROUPS, config(), [], [], seed=1).sheet


def test_augmented_images_are_labelled_and_absent_without_augmentation(scan: Scan, tmp_path: Path) -> None:
    view = assemble_data_view(scan, GROUPS, config(), [], [])
    assert [len(s.pictures) for s in view.augmented] == [1 + CHANGED] * 3
    assert [p.caption for p in view.augmented[0].pictures][:2] == ["as it arrives", "changed, draw 1"]
    assert len({p.image for p in view.augmented[0].pictures}) > 3
    plain = assemble_data_view(scan, GROUPS, config(augment="none"), [], [])
    assert plain.augmented == ()
    text = written(plain, tmp_path)
    assert "training images are not changed" in text
    assert "Not looked for." in text


def test_the_largest_group_is_shown_from_end_to_end(scan: Scan) -> None:
    largest = assemble_data_view(scan, GROUPS, config(), [], []).largest
    assert largest.title == "14 images (14 malignant), 12 shown"
    assert (largest.pictures[0].caption, largest.pictures[-1].caption) == ("malignant/P36.png", "malignant/P49.png")


def test_groups_of_several_classes_are_counted(scan: Scan) -> None:
    table = assemble_data_view(scan, GROUPS, config(), [], []).groups
    assert table.rows[1] == ("malignant", "26", "13", "1", "14")
    assert table.caption == "Groups with images of more than one class, which count for each: 18."


def test_large_images_are_shown_small(scan: Scan) -> None:
    view = assemble_data_view(scan, GROUPS, config(image_size=512, augment="none"), [], [])
    assert grey_of(view.sheet[0].pictures[0].image).shape == (224, 224)


def test_a_file_that_is_gone_is_named(scan: Scan) -> None:
    lost = tuple(replace(r, path="normal/gone.png") if r.label == "normal" else r for r in scan.records)
    with pytest.raises(FrostlineError, match=r"gone\.png is gone"):
        assemble_data_view(replace(scan, records=lost), GROUPS, config(), [], [])


def test_a_class_without_images_and_many_classes_are_no_error(scan: Scan, tmp_path: Path) -> None:
    of_two = [i for i, r in enumerate(scan.records) if r.label != "normal"]
    records = tuple(scan.records[i] for i in of_two)
    partial = replace(scan, records=records, thumbnails=scan.thumbnails[of_two], unused=())
    view = assemble_data_view(partial, [GROUPS[i] for i in of_two], config(), [], [])
    assert view.sheet[2].title == "normal: 0 of 0"
    assert "not used</h2>" not in written(view, tmp_path)
