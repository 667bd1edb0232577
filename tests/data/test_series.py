"""Numbered series: alike neighbours are joined, numbers that mean nothing are not believed."""

from __future__ import annotations

import numpy as np
import pytest

from frostline.data.series import correlate, find_neighbours
from tests.data.made import record


def walk(seed: int, patients: int, slices: int) -> np.ndarray:
    """Thumbnails of patients, slice after slice, each a little different from the one before."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(patients):
        image = rng.normal(size=(8, 8))
        for _ in range(slices):
            image = image + 0.3 * rng.normal(size=(8, 8))
            images.append(np.kron(image, np.ones((8, 8))))
    stack = np.array(images)
    return np.asarray(65535 * (stack - stack.min()) / (stack.max() - stack.min())).astype(np.uint16)


def names(count: int, first: int = 1, form: str = "a/case ({}).jpg") -> list[str]:
    return [form.format(first + i) for i in range(count)]


def test_neighbours_are_files_of_one_folder_and_name_whose_numbers_follow_one_another() -> None:
    paths = ["a/x (1).png", "a/x (2).png", "a/x (10).png", "a/y (3).png", "b/x (3).png", "a/z.png", "a/x (11).png"]
    found = find_neighbours([record(p) for p in paths], walk(0, 7, 1))
    assert sorted(map(tuple, found.pairs.tolist())) == [(0, 1), (2, 6)]


@pytest.mark.parametrize(
    "form",
    [
        "a/case ({}).jpg",
        "a/IM-0001-{:04d}.png",
        "a/{}.png",
        "a/P7_{:03d}_axial.png",
        "a/slice_{}_of_72.png",
        "a/CT.{:04d}",
    ],
)
def test_numbers_are_found_wherever_they_stand_in_a_name(form: str) -> None:
    paths = names(5, form=form)
    found = find_neighbours([record(p) for p in paths], walk(0, 1, 5))
    assert found.pairs.tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]


def test_published_parts_do_not_cut_a_series_unless_a_number_is_in_two() -> None:
    dealt = [record(f"{('train', 'test')[i % 2]}/a/{i}.png") for i in range(6)]
    assert len(find_neighbours(dealt, walk(0, 1, 6)).pairs) == 5
    anew = [record(f"{part}/a/{i}.png") for part in ("train", "test") for i in range(3)]
    assert len(find_neighbours(anew, walk(0, 1, 6)).pairs) == 4


def test_the_only_slice_of_each_patient_is_no_series() -> None:
    assert len(find_neighbours([record(f"a/P{i:03d}_1.png") for i in range(5)], walk(0, 5, 1)).pairs) == 0


def test_a_few_missing_numbers_do_not_part_a_series_and_a_large_gap_does() -> None:
    found = find_neighbours([record(f"a/{n}.png") for n in (1, 4, 30)], walk(0, 1, 3))
    assert found.pairs.tolist() == [[0, 1]]


def test_patients_numbered_one_after_the_other_are_cut_where_neighbours_are_not_alike() -> None:
    found = find_neighbours([record(p) for p in names(60)], walk(1, 10, 6))
    links = {tuple(pair) for pair in found.links(0.35).tolist()}
    inside = {(i, i + 1) for i in range(59) if i % 6 != 5}
    assert inside <= links
    assert len(links - inside) <= 2


def test_numbers_in_no_order_join_nothing_and_it_is_said() -> None:
    order = np.random.default_rng(3).permutation(60)
    found = find_neighbours([record(p) for p in names(60)], walk(1, 10, 6)[order])
    assert len(found.links(0.2)) == 0
    (remark,) = found.remarks
    assert remark.startswith("a/case (#): 60 files are numbered, but neighbours are no more alike than others")


def test_a_flat_image_is_like_nothing() -> None:
    thumbnails = walk(0, 1, 2)
    thumbnails[1] = 400
    assert correlate(thumbnails, np.array([0]), np.array([1])).tolist() == [0.0]


def test_no_numbered_file_gives_no_neighbours() -> None:
    found = find_neighbours([record("a/x.png"), record("a/y.png")], walk(0, 1, 2))
    assert found.links(0.1).shape == (0, 2)
