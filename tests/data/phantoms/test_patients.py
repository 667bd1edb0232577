"""The image in Hounsfield units and the one in a lung window, whose bytes other people's results depend on."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from frostline.data.phantoms.patients import render_hu, render_patient, write_phantoms

PINNED = [  # taken before `render_hu` was split off
    ("benign", [7, 3], 4, 64, "1e8a39576c2f17b4"),
    ("malignant", [7, 3], 4, 64, "30451a73168a83a7"),
    ("normal", [7, 3], 4, 64, "03d50d6c8283dd25"),
    ("consolidation", [7, 3], 4, 64, "cbed6cfc7231cc9b"),
    ("malignant", 3, 2, 128, "adfae770110093ce"),
    ("normal", 11, 1, 32, "1a2bcfc499d3da55"),
]


@pytest.mark.parametrize(("class_name", "seed", "slices", "size", "digest"), PINNED)
def test_images_stay_what_they_were(
    class_name: str, seed: int | list[int], slices: int, size: int, digest: str
) -> None:
    stack = render_patient(seed, class_name, slices, size)
    assert hashlib.sha256(stack.tobytes()).hexdigest()[:16] == digest


def test_files_stay_what_they_were(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "p", 5, {"normal": 1, "benign": 1}, slices=2, size=48)
    files = sorted((tmp_path / "p").rglob("*.png"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    assert digest[:16] == "d8358caa41450994"


def test_hu_spans_air_to_bone() -> None:
    hu = render_hu(3, "malignant", 3, 96)
    assert (hu.shape, hu.dtype) == ((3, 96, 96), np.float64)
    assert np.percentile(hu, 5) == pytest.approx(-1000, abs=100)
    assert hu.max() > 400


def test_a_step_of_two_skips_every_other_slice() -> None:
    far, near = render_hu(3, "normal", 3, 64, step=2.0), render_hu(3, "normal", 5, 64)[::2]
    assert np.median(np.abs(far - near)) < 60  # the noise of both


def test_slices_farther_apart_are_less_alike() -> None:
    def change(step: float) -> float:
        a, b = render_hu(3, "normal", 2, 64, step)
        return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

    assert change(1.0) > change(3.0) > change(6.0)


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), float("inf")])
def test_a_distance_that_is_none_is_refused(step: float) -> None:
    with pytest.raises(ValueError, match="distance above 0"):
        render_hu(0, "normal", 2, 64, step)
