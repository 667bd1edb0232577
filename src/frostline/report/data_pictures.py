"""Pictures of the page on a data set: slices as the network gets them, thumbnails, and distributions as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from frostline.config.schema import DataConfig
from frostline.data.cache import load_image
from frostline.data.dataset import reading_of
from frostline.data.records import Scan
from frostline.data.transforms import augment, draw_changes, find_augmentation
from frostline.plots.style import BLUE
from frostline.report.images import jpeg_source
from frostline.report.svg import svg

BINS = 32  # of grey
MOST = 500  # images of a class whose grey is counted


def arriving(scan: Scan, index: int, config: DataConfig, ras_axes: bool, augmented: Sequence[int] = ()) -> list[str]:
    """Image `index` as it arrives in the network, for `src`; then once more for each seed of `augmented`, changed so.

    It is windowed, resized to `data.image_size` and, with `ras_axes`, turned as `models/classifier.turn` does; of the
    way to the network only the normalisation, which no eye sees, is left out. Raises `FrostlineError` for a lost file.
    """
    image = load_image(scan.root / scan.records[index].path, config.image_size, reading_of(config))
    how = find_augmentation(config.augment)
    greys = [image, *(augment(image[None], draw_changes([seed]), how)[0] for seed in augmented)]
    return [_turned(grey[0].numpy(), ras_axes) for grey in greys]


def thumbnail(grey: np.ndarray) -> str:
    """A thumbnail uint16 [64, 64] for `src`, upright."""
    return jpeg_source(grey.astype(np.float32) / 65535)


def _turned(grey: np.ndarray, ras_axes: bool) -> str:
    return jpeg_source(grey[::-1, ::-1].T if ras_axes else grey)


def draw_grey(thumbnails: np.ndarray, labels: np.ndarray, classes: Sequence[str], rng: np.random.Generator) -> str:
    """By class the distribution of grey over an image: median over the images, and the middle 90 % of them.

    Args:
        thumbnails: uint16 [N, 64, 64].
        labels: int [N].
        classes: their names; those without an image are left out.
        rng: what at most `MOST` images of a class are drawn by.
    """
    there = [i for i in range(len(classes)) if (labels == i).any()]
    columns = min(4, len(there))
    lines = -(-len(there) // columns)
    figure = Figure(figsize=(9.2 if columns > 2 else 6.4, 0.4 + 2.3 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    grey = (np.arange(BINS) + 0.5) / BINS
    for ax, i in zip(axes, there, strict=False):
        own = np.flatnonzero(labels == i)
        own = np.sort(rng.permutation(own)[:MOST])
        bins = (thumbnails[own].reshape(len(own), -1).astype(np.uint32) * BINS) // 65536
        shares = np.stack([np.bincount(b, minlength=BINS) for b in bins]) / bins.shape[1]
        low, middle, high = np.quantile(shares, (0.05, 0.5, 0.95), axis=0)
        ax.fill_between(grey, low, high, color=BLUE, alpha=0.25, lw=0, label="5 to 95 % of the images")
        ax.plot(grey, middle, color=BLUE, lw=1.6, label="median image")
        ax.set_title(classes[i], fontsize=10)
        ax.set_yscale("function", functions=(np.sqrt, np.square))  # air and fat would hide all else
        ax.set_ylim(0, 1)
        ax.set_yticks([0.01, 0.05, 0.2, 0.5, 1])
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        ax.set_xlim(0, 1)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25)
    for ax in axes[len(there) :]:
        ax.set_visible(False)
    axes[0].legend(frameon=False, fontsize=8)
    figure.supxlabel("grey in the network, 0 black, 1 white", fontsize=9)
    figure.supylabel("share of the pixels", fontsize=9)
    return svg(figure, "distribution of grey by class")


def draw_group_sizes(sizes: np.ndarray) -> str:
    """How many groups have how many images: int [G]; one bar a size up to 10, wider ones beyond."""
    edges = [*range(1, 11), 11]
    while edges[-1] <= sizes.max():
        edges.append(edges[-1] * 2 - 1 if edges[-1] == 11 else (edges[-1] - 1) * 2 + 1)
    counts = np.histogram(sizes, edges)[0]
    last = int(np.flatnonzero(counts).max()) + 1
    names = [str(a) if b == a + 1 else f"{a} to {b - 1}" for a, b in pairwise(edges)][:last]
    figure = Figure(figsize=(max(3.2, 0.6 * last + 1.2), 2.4), layout="constrained")
    axes = figure.subplots()
    bars = axes.bar(names, counts[:last], color=BLUE, width=0.7)
    axes.bar_label(bars, [str(n) if n else "" for n in counts[:last].tolist()], fontsize=8)
    axes.set_xlabel("images in the group", fontsize=9)
    axes.set_ylabel("groups", fontsize=9)
    axes.margins(y=0.15)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return svg(figure, "number of groups by number of images")
