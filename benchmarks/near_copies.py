"""What near copies are found, and what that costs.

    python benchmarks/near_copies.py FOLDER --groups patients.csv   # Markdown table: changed versions of its images
    python benchmarks/near_copies.py --images 10000 --like dense    # a line of CSV: seconds and memory

FOLDER holds folders of classes with JPEG slices numbered by patient, as IQ-OTH/NCCD. Two of its images are of different
patients when they are of different classes, or of different groups of the CSV (columns file and group) with numbers
more than 30 apart.
"""

import argparse
import csv
import dataclasses
import io
import re
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps
from scipy.ndimage import zoom
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from frostline.data.changed_copies import find_changed
from frostline.data.folders import FolderTask
from frostline.data.images import Reading
from frostline.data.near_copies import FLOOR, find_likeness, spanning_forest, whole_rows
from frostline.data.phantoms.patients import render_patient
from frostline.data.records import scan_folder
from frostline.task import Task

ONE_PATIENT = (("Bengin", (33, 34)), ("Normal", (82, 83, 86, 87)))  # under two labels, in IQ-OTH/NCCD
Change = Callable[[Image.Image, np.random.Generator], Image.Image]
Flip = Image.Transpose


def turn(image: Image.Image, degrees: float, fill: bool = True) -> Image.Image:
    """Turned in its frame; corners black, or (not `fill`) the edge repeated."""
    if fill:
        return image.rotate(degrees, Image.Resampling.BICUBIC)
    pad = max(image.size) // 4
    wide = Image.fromarray(np.pad(np.asarray(image), pad, mode="edge")).rotate(degrees, Image.Resampling.BICUBIC)
    return wide.crop((pad, pad, pad + image.width, pad + image.height))


def move(image: Image.Image, zoomed: float, x: float, y: float, fill: bool = True) -> Image.Image:
    """Zoomed about the middle, then shifted by shares of width and height."""
    (width, height), pad = image.size, 0
    if not fill:
        pad = max(image.size) // 4
        image = Image.fromarray(np.pad(np.asarray(image), pad, mode="edge"))
    left = (width / 2) * (1 - 1 / zoomed) - x * width / zoomed + pad
    top = (height / 2) * (1 - 1 / zoomed) - y * height / zoomed + pad
    matrix = (1 / zoomed, 0, left, 0, 1 / zoomed, top)
    return image.transform((width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    """Through JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue())).convert("L")


def noisy(image: Image.Image, sigma: float, rng: np.random.Generator) -> Image.Image:
    """With noise of `sigma` grey levels."""
    values = np.asarray(image, float) + rng.normal(0, sigma, (image.height, image.width))
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def window(low: int, high: int) -> Change:
    """Grey from `low` to `high` spread over all; beyond 0..255 a wider window."""
    return lambda image, rng: image.point([min(255, max(0, round((v - low) * 255 / (high - low)))) for v in range(256)])


def gamma(image: Image.Image, power: float) -> Image.Image:
    """Another tone curve."""
    return image.point([round(255 * (v / 255) ** power) for v in range(256)])


def flip(*ways: Flip) -> Change:
    """One of these."""
    return lambda image, rng: image.transpose(ways[rng.integers(len(ways))])


def cropped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Up to 5 % less at each side, so that the aspect differs too."""
    (w, h), (a, b, c, d) = image.size, rng.uniform(0, 0.05, 4)
    return image.crop((int(a * w), int(b * h), int(w - c * w), int(h - d * h)))


def sign(rng: np.random.Generator) -> int:
    """-1 or 1."""
    return int(rng.choice([-1, 1]))


def either(rng: np.random.Generator) -> bool:
    """True or false."""
    return bool(rng.random() < 0.5)


mirror, quarter = flip(Flip.FLIP_LEFT_RIGHT), flip(Flip.ROTATE_90, Flip.ROTATE_270)
KINDS: dict[str, Change] = {
    "JPEG, quality 30 to 95": lambda p, r: jpeg(p, int(r.integers(30, 96))),
    "resized to 128..1024 px": lambda p, r: p.resize((int(r.integers(128, 1025)),) * 2, Image.Resampling.BILINEAR),
    "brightness -20 or +20 %": lambda p, r: p.point(
        [min(255, int(v * (1 + 0.2 * s))) for s in [sign(r)] for v in range(256)]
    ),
    "noise of 3 to 10 grey levels": lambda p, r: noisy(p, r.uniform(3, 10), r),
    "blurred by 2 px": lambda p, r: p.filter(ImageFilter.GaussianBlur(2)),
    "mirrored": mirror,
    "upside down": flip(Flip.FLIP_TOP_BOTTOM),
    "transposed or transversed": flip(Flip.TRANSPOSE, Flip.TRANSVERSE),
    "quarter turn": quarter,
    "half turn": flip(Flip.ROTATE_180),
    "turned by 3 degrees": lambda p, r: turn(p, 3 * sign(r), either(r)),
    "turned by 5 degrees": lambda p, r: turn(p, 5 * sign(r), either(r)),
    "turned by 7 degrees": lambda p, r: turn(p, 7 * sign(r), either(r)),
    "shifted by 3 % on one axis": lambda p, r: move(
        p, 1, *((0.03 * sign(r), 0) if either(r) else (0, 0.03 * sign(r))), either(r)
    ),
    "shifted by 4 % on both axes": lambda p, r: move(p, 1, 0.04 * sign(r), 0.04 * sign(r), either(r)),
    "zoomed by 5 % in or out": lambda p, r: move(p, 1 + 0.05 * sign(r), 0, 0, either(r)),
    "zoomed by 7 % in or out": lambda p, r: move(p, 1 + 0.07 * sign(r), 0, 0, either(r)),
    "inverted": lambda p, r: ImageOps.invert(p),
    "gamma 0.5": lambda p, r: gamma(p, 0.5),
    "gamma 2": lambda p, r: gamma(p, 2),
    "window 32..224 of 255": window(32, 224),
    "window 0..128": window(0, 128),
    "window 64..255": window(64, 255),
    "window 128..255": window(128, 255),
    "window -80..345 (wider)": window(-80, 345),
}
COMPOSED: dict[str, Change] = {
    "mirrored, turned by 5 degrees": lambda p, r: turn(mirror(p, r), 5 * sign(r)),
    "inverted, turned by 5 degrees": lambda p, r: turn(ImageOps.invert(p), 5 * sign(r)),
    "window 32..224, turned by 5 degrees": lambda p, r: turn(window(32, 224)(p, r), 5 * sign(r)),
    "turned by 5 degrees, zoomed by 5 %, shifted by 2 %": lambda p, r: move(
        turn(p, 5 * sign(r)), 1 + 0.05 * sign(r), 0.02 * sign(r), 0.02 * sign(r)
    ),
    "quarter turn, zoomed by 5 %, JPEG 50": lambda p, r: jpeg(move(quarter(p, r), 1 + 0.05 * sign(r), 0, 0), 50),
    "gamma 2, mirrored, JPEG 30, 256 px": lambda p, r: jpeg(mirror(gamma(p, 2), r).resize((256, 256)), 30),
    "cropped by up to 5 % at each side": cropped,
    "turned by 5 degrees in a larger frame": lambda p, r: p.rotate(5 * sign(r), Image.Resampling.BICUBIC, expand=True),
    "zoomed by 10 % in or out": lambda p, r: move(p, 1 + 0.1 * sign(r), 0, 0),
    "zoomed in by 20 %": lambda p, r: move(p, 1.2, 0, 0),
    "turned by 10 degrees": lambda p, r: turn(p, 10 * sign(r)),
    "turned by 20 degrees": lambda p, r: turn(p, 20 * sign(r)),
}


def different_patients(files: list[Path], groups: Path | None) -> np.ndarray:
    """Bool [N, N]."""
    if groups is None:
        return ~np.eye(len(files), dtype=bool)
    with groups.open() as file:
        group_of = {row["file"]: row["group"] for row in csv.DictReader(file)}
    label = np.array([f.parent.name for f in files])
    number = np.array([int((re.search(r"\d+", f.name) or [0])[0]) for f in files])
    group = np.array([group_of[f.name] for f in files])
    far = (label[:, None] != label) | ((group[:, None] != group) & (np.abs(number[:, None] - number) > 30))
    one, other = (
        np.flatnonzero([f.name.startswith(c) and n in ns for f, n in zip(files, number, strict=True)])
        for c, ns in ONE_PATIENT
    )
    far[np.ix_(one, other)] = far[np.ix_(other, one)] = False
    return far


def components(n: int, pairs: np.ndarray) -> np.ndarray:
    """Component of each of n."""
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return connected_components(graph, directed=False)[1]


def table(far: np.ndarray, files: list[Path], sample: int, similarity: float) -> None:
    """Print a row for each kind: share found and false pairs, by correlation alone and with changed copies."""
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.choice(len(files), min(sample, len(files)), replace=False))
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "all"
        for k, file in enumerate(files):
            (root / "original").mkdir(parents=True, exist_ok=True)
            (root / "original" / f"{k:05d}{file.suffix}").write_bytes(file.read_bytes())
        for number, change in enumerate((KINDS | COMPOSED).values()):
            (root / f"kind{number:02d}").mkdir()
            for k in chosen.tolist():
                with Image.open(files[k]) as image:
                    change(image.convert("L"), rng).save(root / f"kind{number:02d}" / f"{k:05d}.png")
        names = tuple(sorted(p.name for p in root.iterdir()))
        scan = scan_folder(root, FolderTask(Task(names, names[0]), {n: n for n in names}), Reading(), Path(temporary))
        label = np.array([r.label for r in scan.records])
        owner = np.array([int(Path(r.path).stem) for r in scan.records])
        for number, name in enumerate(KINDS | COMPOSED):
            if number == len(KINDS):
                print("| *several changes, or larger ones* | | | | |")
            part = np.flatnonzero((label == "original") | (label == f"kind{number:02d}"))
            likeness = find_likeness(
                dataclasses.replace(
                    scan, records=tuple(scan.records[i] for i in part), thumbnails=scan.thumbnails[part]
                ),
                Path(temporary),
            )
            own, is_new = owner[part], label[part] != "original"
            first = {o: i for i, o in enumerate(own.tolist()) if not is_new[i]}
            alone = likeness.forest[likeness.correlation >= similarity - 1e-6]
            cells = []
            for pairs in (alone, likeness.pairs(similarity)):
                c = components(len(part), pairs)
                found = [c[i] == c[first[o]] for i, o in enumerate(own.tolist()) if is_new[i]]
                cells.append(f"{np.mean(found):.1%}".replace("%", " %"))
            rows = whole_rows(scan.thumbnails[part]).astype(np.float32) / 4000
            high = np.triu((rows @ rows.T >= similarity) & far[np.ix_(own, own)], 1).sum()
            false = far[own[likeness.changed[:, 0]], own[likeness.changed[:, 1]]].sum()
            print(f"| {name} | {cells[0]} | {cells[1]} | {high} | {false} |", flush=True)


def phantom_files(folder: Path, patients: int, size: int) -> list[Path]:
    """One slice of each of many phantoms."""
    for n in range(patients):
        kind = ("normal", "benign", "malignant")[n % 3]
        Image.fromarray(render_patient([7, n], kind, 1, size)[0]).save(folder / f"{n:05d}.png")
    return sorted(folder.iterdir())


def synthetic(n: int, like: str) -> np.ndarray:
    """Thumbnails uint16 [n, 64, 64]: `smooth` fields, `thorax`: phantoms blended, `dense`: one of them varied."""
    rng = np.random.default_rng(0)
    up = zoom(np.eye(10), (6.4, 1), order=1)
    slices = (
        np.stack([render_patient([7, k], "normal", 1, 64)[0] for k in range(1 if like == "dense" else 200)]) / 255.0
    )
    out = np.empty((n, 64, 64), np.uint16)
    for k in range(n):
        field = up @ rng.normal(size=(10, 10)) @ up.T
        a, b = rng.integers(len(slices), size=2)
        share = rng.uniform(0, 0.5)
        body = 0.5 if like == "smooth" else (1 - share) * slices[a] + share * slices[b]
        out[k] = np.clip((body + (0.2 if like == "smooth" else 0.03) * field) * 65535, 0, 65535)
    return out


def cost(n: int, like: str) -> None:
    """Print one line of CSV: seconds (of the clock, of both cores) of each part, peak memory."""
    thumbnails = synthetic(n, like)
    cells = [like, str(n)]
    for work in (lambda: spanning_forest(whole_rows(thumbnails), FLOOR)[0], lambda: find_changed(thumbnails)):
        clock, busy = time.perf_counter(), time.process_time()
        found = work()
        cells += [f"{time.perf_counter() - clock:.0f}", f"{time.process_time() - busy:.0f}", str(len(found))]
        cells.append(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f}")
    print(",".join(cells), flush=True)


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="without it, phantoms")
    parser.add_argument("--groups", type=Path)
    parser.add_argument("--sample", type=int, default=120)
    parser.add_argument("--similarity", type=float, default=0.85, help="phantoms of all patients are one group at 0.85")
    parser.add_argument("--images", type=int)
    parser.add_argument("--like", choices=["smooth", "thorax", "dense"], default="thorax")
    options = parser.parse_args()
    if options.images:
        cost(options.images, options.like)
        return
    with tempfile.TemporaryDirectory() as temporary:
        files = sorted(options.folder.rglob("*.jpg")) if options.folder else phantom_files(Path(temporary), 300, 128)
        far = different_patients(files, options.groups)
        print(
            "| change | found by correlation | with changed copies | false pairs by correlation | of changed copies |"
        )
        print("|---|---|---|---|---|")
        table(far, files, options.sample, options.similarity)


if __name__ == "__main__":
    main()
