"""The synthetic chest CT: repeatable, made of patients, classes that differ in the lesion alone, written whole."""

import hashlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from frostline.data.phantoms import patients
from frostline.data.phantoms.patients import PHANTOM_CLASSES, render_patient, write_phantoms

PATIENTS = {"benign": 2, "malignant": 1, "normal": 2}


def _digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*.png"))
    }


def _thumbnails(stack: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Slices shrunk to 64 px as unit vectors, so that a dot product is their correlation."""
    small = np.stack([np.asarray(Image.fromarray(s).resize((64, 64), Image.Resampling.BOX), float) for s in stack])
    flat = small.reshape(len(stack), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True))


def _changed(seed: int, class_name: str, size: int = 128) -> NDArray[np.bool_]:
    """Pixels [slices, size, size] that the lesion of this class changes."""
    return np.not_equal(render_patient(seed, class_name, 3, size), render_patient(seed, "normal", 3, size))


def test_same_arguments_give_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("first", 7), ("again", 7), ("other", 8)):
        write_phantoms(tmp_path / name, seed, PATIENTS, slices=2, size=64)
    first, again, other = (_digests(tmp_path / name) for name in ("first", "again", "other"))
    assert first == again
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first)


def test_order_of_the_classes_does_not_matter(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "a", 7, PATIENTS, slices=1, size=64)
    write_phantoms(tmp_path / "b", 7, dict(reversed(PATIENTS.items())), slices=1, size=64)
    assert _digests(tmp_path / "a") == _digests(tmp_path / "b")


def test_files_are_grey_pngs_named_by_patient_and_slice(tmp_path: Path) -> None:
    root = tmp_path / "new" / "phantoms"
    write_phantoms(root, 7, PATIENTS, slices=2, size=64)
    names = [(path.parent.name, path.stem) for path in sorted(root.rglob("*.png"))]
    owners = ["benign", "benign", "malignant", "normal", "normal"]
    assert names == [(c, f"patient_{n:03d}_slice_{s:02d}") for n, c in enumerate(owners) for s in range(2)]
    for path in root.rglob("*.png"):
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "L", (64, 64))
    assert [path.name for path in root.parent.iterdir()] == ["phantoms"]


def test_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    write_phantoms(tmp_path, 7, PATIENTS, slices=1, size=64)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_interrupted_writer_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = []

    def stop_at_the_third(*args: object) -> NDArray[np.uint8]:
        rendered.append(args)
        if len(rendered) == 3:
            raise KeyboardInterrupt
        return np.zeros((1, 64, 64), np.uint8)

    monkeypatch.setattr(patients, "render_patient", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        write_phantoms(tmp_path / "phantoms", 7, PATIENTS, slices=1, size=64)
    assert list(tmp_path.iterdir()) == []


def test_folder_appears_only_when_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def render_blank(*args: object) -> NDArray[np.uint8]:
        assert not (tmp_path / "phantoms").exists()
        return np.zeros((1, 64, 64), np.uint8)

    monkeypatch.setattr(patients, "render_patient", render_blank)
    write_phantoms(tmp_path / "phantoms", 7, PATIENTS, slices=1, size=64)
    assert len(_digests(tmp_path / "phantoms")) == sum(PATIENTS.values())


def test_slices_of_one_patient_are_nearer_to_each_other_than_to_other_patients() -> None:
    stacks = [_thumbnails(render_patient([3, n], PHANTOM_CLASSES[n % 3], 6, 128)) for n in range(12)]
    within = min(float((stack @ stack.T).min()) for stack in stacks)
    neighbours = min(float((stack[:-1] * stack[1:]).sum(axis=1).min()) for stack in stacks)
    between = max(float((a @ b.T).max()) for i, a in enumerate(stacks) for b in stacks[:i])
    assert neighbours > 0.98
    assert between < 0.95
    assert between < within


def test_neighbouring_slices_are_not_identical() -> None:
    stack = render_patient(3, "normal", 6, 64)
    assert all(np.any(a != b) for a, b in pairwise(stack))


@pytest.mark.parametrize(("class_name", "narrowest", "widest"), [("benign", 0.06, 0.13), ("malignant", 0.11, 0.40)])
def test_classes_differ_in_one_lesion_present_in_every_slice(class_name: str, narrowest: float, widest: float) -> None:
    for seed in range(8):
        for changed in _changed(seed, class_name):
            rows, columns = np.nonzero(changed)
            extent = max(np.ptp(rows), np.ptp(columns)) / 128
            assert narrowest < extent < widest


def test_lesions_occur_on_both_sides() -> None:
    columns = [np.nonzero(_changed(seed, "benign", 64))[2].mean() for seed in range(12)]
    assert min(columns) < 26
    assert max(columns) > 38


def test_unknown_class_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="benign, malignant, normal"):
        render_patient(0, "bengin", 1, 64)


@pytest.mark.parametrize(("slices", "size"), [(0, 64), (1, 16)])
def test_stack_without_slices_or_tiny_images_is_refused(slices: int, size: int) -> None:
    with pytest.raises(ValueError, match="at least 1 slice of 32 pixels"):
        render_patient(0, "normal", slices, size)
