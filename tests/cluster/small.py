"""Small studies on a cluster, and waiting for what they do."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from tests.conftest import TINY


def study(logs_dir: Path, launcher: tuple[str, ...], *options: str) -> tuple[str, ...]:
    """A study of a small network, two trials at a time."""
    small = ("model.name=shufflenet_v2_x0_5", "logger=csv", f"logs_dir={logs_dir}", "study=s", "hydra.sweeper.n_jobs=2")
    return ("-m", *TINY, *small, *launcher, *options)


def wait_for(file: Path, seconds: float = 120) -> None:
    """Wait until a file is there."""
    until = time.monotonic() + seconds
    while not file.is_file():
        assert time.monotonic() < until, f"{file} does not come"
        time.sleep(0.2)


def next_file(folder: Path, pattern: str, seconds: float = 120) -> Path:
    """Wait for the first file in a folder that matches."""
    until = time.monotonic() + seconds
    while not (found := [*folder.glob(pattern)]):
        assert time.monotonic() < until, f"no {pattern} comes"
        time.sleep(0.2)
    return found[0]


def easy_images(folder: Path, of_each: int) -> Path:
    """The table of a data set that is soon learnt: blobs of a patient each, dark ones of one class, light ones."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    rows = ["path,class,patient"]
    for label, level in (("dark", 60), ("light", 180)):
        for patient in range(of_each):
            blobs = gaussian_filter(rng.standard_normal((64, 64)), 4)
            grey = np.clip(level + 40 * blobs / blobs.std(), 0, 255).astype(np.uint8)
            Image.fromarray(grey).save(folder / f"{label}{patient}.png")
            rows.append(f"{label}{patient}.png,{label},{label}{patient}")
    table = folder / "images.csv"
    table.write_text("\n".join(rows) + "\n")
    return table
