"""Near copies: one image changed is found, different patients are not, and memory stays small."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from frostline.data import changed_copies, edges, near_copies
from frostline.data.changed_copies import find_changed
from frostline.data.folders import FolderTask
from frostline.data.images import Reading
from frostline.data.near_copies import Likeness, find_likeness, spanning_forest, whole_rows
from frostline.data.phantoms.patients import render_patient
from frostline.data.records import THUMBNAIL, scan_folder
from frostline.task import LUNG

FOLDERS = FolderTask(LUNG, {name: name for name in LUNG.classes})
Flip, BICUBIC = Image.Transpose, Image.Resampling.BICUBIC
RNG = np.random.default_rng(5)


def jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40)
    return Image.open(file)


def shifted(image: Image.Image, x: int, y: int) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, (1, 0, -x, 0, 1, -y))


def zoomed(image: Image.Image, by: float) -> Image.Image:
    w, h = image.size
    matrix = (1 / by, 0, w / 2 * (1 - 1 / by), 0, 1 / by, h / 2 * (1 - 1 / by))
    return image.transform(image.size, Image.Transform.AFFINE, matrix, BICUBIC)


def edge_filled(image: Image.Image, degrees: float) -> Image.Image:
    wide = Image.fromarray(np.pad(np.asarray(image), 32, mode="edge")).rotate(degrees, BICUBIC)
    return wide.crop((32, 32, 32 + image.width, 32 + image.height))


def noisy(image: Image.Image) -> Image.Image:
    grey = np.asarray(image) + RNG.normal(0, 10, (image.height, image.width))
    return Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG": jpeg,
    "smaller": lambda p: p.resize((80, 80)),
    "brighter": lambda p: p.point(lambda v: min(255, int(v * 1.2))),
    "noise": noisy,
    "mirrored": lambda p: p.transpose(Flip.FLIP_LEFT_RIGHT),
    "upside down": lambda p: p.transpose(Flip.FLIP_TOP_BOTTOM),
    "transposed": lambda p: p.transpose(Flip.TRANSPOSE),
    "transversed": lambda p: p.transpose(Flip.TRANSVERSE),
    "quarter turn": lambda p: p.transpose(Flip.ROTATE_90),
    "half turn": lambda p: p.transpose(Flip.ROTATE_180),
    "three quarter turn": lambda p: p.transpose(Flip.ROTATE_270),
    "turned by 5": lambda p: p.rotate(5, BICUBIC),
    "turned by -7, edges repeated": lambda p: edge_filled(p, -7),
    "shifted": lambda p: shifted(p, 5, -5),
    "zoomed in": lambda p: zoomed(p, 1.07),
    "zoomed out": lambda p: zoomed(p, 0.93),
    "inverted": ImageOps.invert,
    "darker curve": lambda p: p.point(lambda v: round(255 * (v / 255) ** 2)),
    "narrower window": lambda p: p.point(lambda v: min(255, max(0, round((v - 64) * 1.8)))),
    "wider window": lambda p: p.point(lambda v: 60 + round(v * 0.55)),
    "mirrored and turned": lambda p: ImageOps.mirror(p).rotate(-5, BICUBIC),
    "inverted and turned": lambda p: ImageOps.invert(p).rotate(5, BICUBIC),
    "cropped to another aspect": lambda p: p.crop((3, 5, 126, 125)),
}


def thumbnail(image: Image.Image) -> np.ndarray:
    grey = Image.fromarray(np.asarray(image, np.float32) / 255)
    return np.rint(np.asarray(grey.resize((THUMBNAIL,) * 2, Image.Resampling.BOX)) * 65535).astype(np.uint16)


@pytest.fixture(scope="module")
def patients() -> list[Image.Image]:
    """One slice each of 48 patients, 128 px; by correlation many are above 0.8."""
    names = (*LUNG.classes, "consolidation")
    return [Image.fromarray(render_patient([3, n], names[n % 4], 1, 128)[0]) for n in range(48)]


@pytest.fixture(scope="module")
def thumbnails(patients: list[Image.Image]) -> np.ndarray:
    return np.stack([thumbnail(p) for p in patients])


def components(n: int, pairs: np.ndarray) -> np.ndarray:
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1])


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_image_is_joined_to_its_original_and_to_no_other(
    patients: list[Image.Image], thumbnails: np.ndarray, change: str
) -> None:
    changed = np.stack([thumbnail(CHANGES[change](p)) for p in patients[:8]])
    pairs = find_changed(np.concatenate([thumbnails[:16], changed]))
    assert sorted(pairs.tolist()) == [[i, 16 + i] for i in range(8)]


def test_different_patients_are_not_joined_however_alike(thumbnails: np.ndarray) -> None:
    _, correlation = spanning_forest(whole_rows(thumbnails), 0.8)
    assert len(correlation) > 10
    assert len(find_changed(thumbnails)) == 0


def test_which_images_are_joined_does_not_depend_on_their_order(
    patients: list[Image.Image], thumbnails: np.ndarray
) -> None:
    both = np.concatenate([thumbnails[:10], np.stack([thumbnail(p.rotate(4, BICUBIC)) for p in patients[:10]])])
    order = np.random.default_rng(0).permutation(20)
    found, shuffled = find_changed(both), find_changed(both[order])
    assert len(found) == 10
    assert sorted(map(sorted, order[shuffled].tolist())) == sorted(found.tolist())


def test_images_without_edges_are_like_nothing_but_those_as_flat(thumbnails: np.ndarray) -> None:
    flat = np.stack([np.full((64, 64), grey, np.uint16) for grey in (0, 0, 30000, 65535)])
    almost = np.random.default_rng(0).integers(30000, 30100, (3, 64, 64)).astype(np.uint16)
    images = np.concatenate([thumbnails[:4], almost, flat])
    assert len(find_changed(images)) == 0
    pairs, correlation = spanning_forest(whole_rows(images), 0.9)
    assert components(11, pairs)[7:].tolist() == [7] * 4
    assert (correlation == 1).all()
    assert len(pairs) == 3


def test_noise_is_like_nothing() -> None:
    noise = np.random.default_rng(0).integers(0, 65535, (30, 64, 64)).astype(np.uint16)
    assert len(find_changed(noise)) == 0


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_is_alike_among_no_image_or_one(thumbnails: np.ndarray, n: int) -> None:
    assert find_changed(thumbnails[:n]).shape == (0, 2)
    pairs, correlation = spanning_forest(whole_rows(thumbnails[:n]), 0.5)
    assert (pairs.shape, correlation.shape) == ((0, 2), (0,))


def all_pairs(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs and correlations by brute force."""
    products = rows.astype(np.int64) @ rows.T.astype(np.int64)
    norm = np.sqrt(np.diag(products).astype(float))
    i, j = np.triu_indices(len(rows), 1)
    return np.stack([i, j], 1), products[i, j] / (norm[i] * norm[j])


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(1, 40),
    size=st.sampled_from([16, 64, 144]),
    block=st.sampled_from([1, 7, 2048]),
    many=st.sampled_from([0, 9, 10**6]),
)
def test_the_forest_joins_what_all_pairs_join_at_every_similarity(
    seed: int, n: int, size: int, block: int, many: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(0.7, 1, (n, size))
    rows[n // 2 :: 3] = rows[0]  # copies: ties
    rows = np.rint(rows * (4000 / np.linalg.norm(rows, axis=1, keepdims=True))).astype(np.int16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_copies, "_BLOCK", block)
        patch.setattr(near_copies, "_MANY", many)
        pairs, correlation = spanning_forest(rows, 0.5)
    every, value = all_pairs(rows)
    assert len(pairs) < n
    for level in (0.5, 0.8, 0.95, 1 - 1e-6, *np.unique(correlation)[::5]):
        ours, theirs = components(n, pairs[correlation >= level]), components(n, every[value >= level])
        assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize("few", [1, 10**9], ids=["all at once", "each by itself"])
def test_what_is_left_out_by_rough_rows_is_in_no_forest(
    thumbnails: np.ndarray, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = whole_rows(thumbnails)
    norm = np.linalg.norm(rows.astype(float), axis=1)
    rough = near_copies._rough(rows, norm)
    assert rough.shape == (len(rows), 257)
    assert (rough @ rough.T > rows.astype(np.int64) @ rows.T.astype(np.int64)).all()
    expected = spanning_forest(rows, 0.5)
    monkeypatch.setattr(near_copies, "_FEW", few)
    assert all(np.array_equal(a, b) for a, b in zip(spanning_forest(rows, 0.5), expected, strict=True))


def test_the_forest_is_the_same_whatever_the_blocks(thumbnails: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = whole_rows(thumbnails[:40])
    whole = spanning_forest(rows, 0.5)
    monkeypatch.setattr(near_copies, "_BLOCK", 17)
    monkeypatch.setattr(near_copies, "_MANY", 20)
    parts = spanning_forest(rows, 0.5)
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))


def test_whole_numbers_give_the_correlation(thumbnails: np.ndarray) -> None:
    grey = thumbnails.reshape(len(thumbnails), -1).astype(float)
    every, value = all_pairs(whole_rows(thumbnails))
    assert np.abs(value - np.corrcoef(grey)[every[:, 0], every[:, 1]]).max() < 5e-4
    assert (np.linalg.norm(whole_rows(thumbnails).astype(float), axis=1) < 4096).all()  # exact in float32


def test_memory_grows_with_the_images_and_not_with_the_alike_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """1500 images all alike are 1.1 million pairs: 27 MB as two numbers and a correlation each."""
    rng = np.random.default_rng(0)
    rows = 1000 + rng.normal(0, 120, (1500, 16))
    rows = np.rint(rows * (4000 / np.linalg.norm(rows, axis=1, keepdims=True))).astype(np.int16)
    monkeypatch.setattr(near_copies, "_BLOCK", 128)
    monkeypatch.setattr(near_copies, "_MANY", 4_000)
    tracemalloc.start()
    pairs, correlation = spanning_forest(rows, 0.5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(pairs), len(correlation)) == (1499, 1499)
    assert peak < 6e6


def test_candidates_are_as_many_as_allowed_in_a_dense_set(
    thumbnails: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changed_copies, "CANDIDATES", 3)
    noise = np.random.default_rng(0).integers(0, 2000, (60, 64, 64)).astype(np.uint16)
    alike = np.clip(thumbnails[0].astype(int) + noise, 0, 65535).astype(np.uint16)
    cells, *_ = changed_copies._describe(alike)
    assert len(changed_copies._candidates(np.rint(cells).astype(np.int16))) <= 60 * 12
    assert len(set(components(60, find_changed(alike)))) < 20


@pytest.mark.parametrize("rows", [7, 1024])
def test_candidates_are_the_most_alike_of_each_in_any_orientation(
    thumbnails: np.ndarray, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, n = 5, 30
    for name, value in {"CANDIDATES": most, "ALL_CANDIDATES": 0, "_ROWS": rows}.items():
        monkeypatch.setattr(changed_copies, name, value)
    cells = np.rint(changed_copies._describe(thumbnails[:n])[0]).astype(np.int16)
    expected = set()
    for i in range(n):
        alike = [
            (-int((cells[i].astype(int) * edges.oriented(cells[j], o)).sum()), j, o)
            for j in range(n)
            for o in range(8)
            if j != i
        ]
        for value, j, o in sorted(alike)[:most]:
            if -value >= 0.6 * 4000**2:
                expected.add((i, j, o) if i < j else (j, i, -o % 4 if o < 4 else o))
    found = changed_copies._candidates(cells)
    assert [*map(tuple, found.tolist())] == sorted(expected)
    assert len(found) > n


def test_turned_fields_are_those_of_turned_images(thumbnails: np.ndarray) -> None:
    image = np.rot90(thumbnails[0])[:, ::-1]
    field = edges.edge_directions(thumbnails[:1])[0].astype(int)
    turned = edges.edge_directions(image[None])[0].astype(int)
    assert np.abs(edges.oriented(field, 5) - turned).max() <= 1


PROGRAM = """
import hashlib, sys, numpy as np
from frostline.data.changed_copies import find_changed
from frostline.data.near_copies import spanning_forest, whole_rows
images = np.load(sys.argv[1])
found = [*spanning_forest(whole_rows(images), 0.5), find_changed(images)]
print(hashlib.sha256(b"".join(f.tobytes() for f in found)).hexdigest())
"""


def test_an_older_processor_finds_the_same(patients: list[Image.Image], thumbnails: np.ndarray, tmp_path: Path) -> None:
    """OpenBLAS computes as on a Nehalem of 2008, without AVX and FMA."""
    images = np.concatenate([thumbnails[:20], np.stack([thumbnail(p.rotate(6, BICUBIC)) for p in patients[:10]])])
    np.save(tmp_path / "images.npy", images)
    found = [*spanning_forest(whole_rows(images), 0.5), find_changed(images)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "images.npy")],
        env=os.environ | {"OPENBLAS_CORETYPE": "Nehalem"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == hashlib.sha256(b"".join(f.tobytes() for f in found)).hexdigest()


def test_pairs_are_those_at_or_above_the_similarity_and_all_changed_copies() -> None:
    likeness = Likeness(np.array([[0, 1], [1, 2]]), np.array([0.9, 0.6]), np.array([[3, 4]]))
    assert likeness.pairs(0.9).tolist() == [[0, 1], [3, 4]]
    assert likeness.pairs(0.5).tolist() == [[0, 1], [1, 2], [3, 4]]


def test_files_changed_are_found_and_comparing_is_done_once(
    singles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "slices"
    for file in singles.rglob("*.png"):
        target = root / file.relative_to(singles)
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(file) as image:
            image.save(target)
            ImageOps.invert(image.rotate(90)).resize((200, 180)).save(target.with_suffix(".changed.jpg"), quality=60)
    scan = scan_folder(root, FOLDERS, Reading(), tmp_path / "cache")
    likeness = find_likeness(scan, tmp_path / "cache")
    paths = [r.path for r in scan.records]
    joined = [sorted(paths[k].split(".")[0] for k in pair) for pair in likeness.changed]
    assert len(joined) == 18
    assert all(a == b for a, b in joined)
    monkeypatch.setattr(near_copies, "find_changed", lambda thumbnails: pytest.fail("compared again"))
    assert np.array_equal(find_likeness(scan, tmp_path / "cache").changed, likeness.changed)
