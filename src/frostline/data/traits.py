"""What can be known of an image without knowing the lung: size, borders, brightness, compression, kind of file."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from frostline.data.records import Record

DARK, BRIGHT = 0.01, 0.99  # grey that counts as pure black and white: JPEG does not keep them exactly

Columns = dict[str, np.ndarray]
"""Features by name, each float [N]; those that are 0 or 1 answer a question."""


def size(records: Sequence[Record], thumbnails: np.ndarray) -> Columns:
    """Width and height in pixels, and the first over the second."""
    width = np.array([r.width for r in records], float)
    height = np.array([r.height for r in records], float)
    return {"width": width, "height": height, "width over height": width / height}


def borders(records: Sequence[Record], thumbnails: np.ndarray) -> Columns:
    """Shares of black and white in the outermost ring, and the widths of black borders, as shares of the side."""
    dark, bright = np.less_equal(thumbnails, DARK * 65535), np.greater_equal(thumbnails, BRIGHT * 65535)
    ring = np.ones(thumbnails.shape[1:], bool)
    ring[1:-1, 1:-1] = False
    rows, columns = dark.all(2), dark.all(1)
    return {
        "share of black at the rim": dark[:, ring].mean(1),
        "share of white at the rim": bright[:, ring].mean(1),
        "black border above": _leading(rows),
        "black border below": _leading(rows[:, ::-1]),
        "black border on the left": _leading(columns),
        "black border on the right": _leading(columns[:, ::-1]),
    }


def brightness(records: Sequence[Record], thumbnails: np.ndarray) -> Columns:
    """Mean, standard deviation and percentiles of grey in 0..1."""
    grey = thumbnails.reshape(len(thumbnails), -1)
    named = {f"grey, {q}th percentile": np.empty(len(grey)) for q in (5, 25, 50, 75, 95)}
    mean, spread = np.empty(len(grey)), np.empty(len(grey))
    for start in range(0, len(grey), 4096):  # float copies of 100,000 thumbnails would take gigabytes
        part = slice(start, start + 4096)
        values = grey[part].astype(np.float32) / 65535
        mean[part], spread[part] = values.mean(1), values.std(1)
        for column, quantile in zip(named.values(), np.percentile(values, (5, 25, 50, 75, 95), axis=1), strict=True):
            column[part] = quantile
    return {"mean grey": mean, "standard deviation of grey": spread, **named}


def compression(records: Sequence[Record], thumbnails: np.ndarray) -> Columns:
    """JPEG quality, 0 where there is none, and bytes a pixel to 1 %: differing headers alone shall not count."""
    bytes_per_pixel = np.array([r.bytes / (r.width * r.height) for r in records])
    return {
        "JPEG quality": np.array([r.facts.quality or 0 for r in records], float),
        "bytes a pixel": np.exp(np.round(np.log(np.maximum(bytes_per_pixel, 1e-6)), 2)),
    }


def kind(records: Sequence[Record], thumbnails: np.ndarray) -> Columns:
    """One column a kind of file."""
    kinds = sorted({r.facts.kind for r in records})
    return {f"kind {name}": np.array([r.facts.kind == name for r in records], float) for name in kinds}


TRAITS: dict[str, Callable[[Sequence[Record], np.ndarray], Columns]] = {
    "size": size,
    "borders": borders,
    "brightness": brightness,
    "compression": compression,
    "file kind": kind,
}


def _leading(dark: np.ndarray) -> np.ndarray:
    """Share of the side, by image, that lies before the first entry that is not dark, bool [N, 64]."""
    return np.asarray(np.where(dark.all(1), dark.shape[1], (~dark).argmax(1)) / dark.shape[1])
