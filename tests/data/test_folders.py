"""Which classes a folder holds: by what is given, by names, or by its folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frostline.data.folders import find_task
from frostline.data.listing import list_files, published_split
from frostline.errors import ConfigError
from frostline.task import LUNG


def fill(root: Path, *names: str) -> Path:
    """Folders with an image each."""
    for i, name in enumerate(names):
        (root / name).mkdir(parents=True)
        grey = np.random.default_rng(i).integers(0, 255, (40, 40), np.uint8)
        Image.fromarray(grey).save(root / name / "a.png")
    return root


@pytest.mark.parametrize(
    "names",
    [
        ("benign", "malignant", "normal"),
        ("Bengin cases", "Malignant cases", "Normal cases"),
        ("01_BENIGN", "02_Malignant", "03-normals"),
        ("LungBenign", "LungMalignant", "LungNormal", "Test cases", ".normal"),
    ],
)
def test_folders_that_say_benign_malignant_and_normal_are_these(tmp_path: Path, names: tuple[str, ...]) -> None:
    found = find_task(fill(tmp_path, *names), {}, (), "auto")
    assert found.task == LUNG
    assert found.folders == dict(zip(names[:3], LUNG.classes, strict=True))


@pytest.mark.parametrize(
    "names",
    [
        ("abnormal", "benign", "malignant"),
        ("Non-malignant", "benign", "normal"),
        ("malignant", "normal", "not_benign"),
        ("benign", "malignant", "normal", "normal 2"),
        ("benign", "malignant or normal"),
        ("adenocarcinoma", "large.cell.carcinoma", "normal", "squamous.cell.carcinoma"),
        ("肺癌", "肺结核"),
    ],
)
def test_other_folders_are_the_classes_themselves(tmp_path: Path, names: tuple[str, ...]) -> None:
    found = find_task(fill(tmp_path, *names), {}, (), "auto")
    assert found.task.classes == names
    assert found.folders == {name: name for name in names}
    assert found.task.positive == ("malignant" if "malignant" in names else None)


def test_an_empty_folder_and_one_of_test_images_without_classes_are_no_classes(tmp_path: Path) -> None:
    fill(tmp_path, "cyst", "tumour", "Test cases")
    (tmp_path / "notes").mkdir()
    assert find_task(tmp_path, {}, (), None).task.classes == ("cyst", "tumour")


def test_given_classes_choose_their_folders_and_their_order(tmp_path: Path) -> None:
    fill(tmp_path, "Bengin cases", "Malignant cases", "Normal cases")
    found = find_task(tmp_path, {}, ("normal", "malignant"), "malignant")
    assert found.task.classes == ("normal", "malignant")
    assert found.folders == {"Malignant cases": "malignant", "Normal cases": "normal"}
    assert list_files(tmp_path, found).files == {
        "Malignant cases/a.png": "malignant",
        "Normal cases/a.png": "normal",
    }


def test_several_folders_may_be_one_class(tmp_path: Path) -> None:
    fill(tmp_path, "cyst", "carcinoma", "sarcoma")
    found = find_task(tmp_path, {"cyst": "benign", "carcinoma": "malignant", "sarcoma": "malignant"}, (), "auto")
    assert found.task.classes == ("benign", "malignant")
    assert found.task.positive == "malignant"


@pytest.mark.parametrize(
    ("names", "classes", "message"),
    [
        ((), (), "two or more; its folders with images: none"),
        (("lungs/benign", "lungs/malignant"), (), r"lungs has benign, malignant: data\.root=.*lungs\?"),
        (
            ("train/benign", "train/normal", "test/benign", "test/cyst"),
            (),
            "test holds the classes benign, cyst, train holds",
        ),
        (("a/b/Bengin cases", "a/b/Normal cases"), (), r"a/b has Bengin cases, Normal cases: data\.root=.*/a/b\?"),
        (("cyst", "tumour"), ("cyst", "normal"), r"needs one for each of cyst, normal\. Map them: 'data\.folders="),
        (("a,b", "c"), (), "'a,b' cannot be the name of a class"),
    ],
)
def test_folders_that_cannot_be_the_classes_are_refused_with_a_way_out(
    tmp_path: Path, names: tuple[str, ...], classes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        find_task(fill(tmp_path, *names), {}, classes, "auto")


def test_the_folder_that_a_preset_means_is_found_below_the_one_that_was_given(tmp_path: Path) -> None:
    fill(tmp_path, "archive/archive/Bengin cases", "archive/archive/Normal cases")
    folders = {"Bengin cases": "benign", "Normal cases": "normal"}
    with pytest.raises(ConfigError, match=r"did you mean data\.root=.*archive/archive\?"):
        find_task(tmp_path, folders, (), "auto")


@pytest.mark.parametrize(
    "parts", [("train", "valid", "test"), ("Training", "Validation", "Testing"), ("imagesTr", "dev_set", "imagesTs")]
)
def test_classes_are_found_inside_of_published_parts(tmp_path: Path, parts: tuple[str, ...]) -> None:
    fill(tmp_path, *(f"{part}/{name}" for part in parts for name in ("cyst", "tumour")))
    found = find_task(tmp_path, {}, (), None)
    assert found.task.classes == ("cyst", "tumour")
    listed = list_files(tmp_path, found).files
    assert [published_split(path) for path in sorted(listed, key=lambda p: parts.index(p.split("/")[0]))] == [
        *["train"] * 2, *["val"] * 2, *["test"] * 2,
    ]  # fmt: skip


def test_published_parts_may_lie_inside_of_the_classes(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{name}/{part}" for part in ("train", "test") for name in ("cyst", "tumour")))
    found = find_task(tmp_path, {}, (), None)
    assert found.folders == {"cyst": "cyst", "tumour": "tumour"}
    assert {path: published_split(path) for path in list_files(tmp_path, found).files} == {
        f"{name}/{part}/a.png": part for part in ("train", "test") for name in ("cyst", "tumour")
    }


def test_a_folder_of_volumes_is_told_how_to_make_slices_of_them(tmp_path: Path) -> None:
    fill(tmp_path, "cyst", "tumour")
    (tmp_path / "tumour" / "a.png").rename(tmp_path / "tumour" / "a.nii.gz")
    with pytest.raises(ConfigError, match=r"'tumour' .*no images; tumour/a\.nii\.gz is a volume: .*`frostline slices`"):
        list_files(tmp_path, find_task(tmp_path, {"cyst": "cyst", "tumour": "tumour"}, (), None))
