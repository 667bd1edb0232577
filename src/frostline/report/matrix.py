"""A confusion matrix as a part of a page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from frostline.report.view import Cell, Matrix


def matrix_of(counts: np.ndarray, classes: Sequence[str], what: str) -> Matrix:
    """Counts [C, C], whole or means over seeds, rows the true class; `what` they are of."""
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    rows = (
        tuple(Cell(_count(n), round(100 * share)) for n, share in zip(of_counts, of_row, strict=True))
        for of_counts, of_row in zip(counts.tolist(), shares.tolist(), strict=True)
    )
    return Matrix(f"Confusion matrix of {what}: rows true, columns predicted.", tuple(classes), tuple(rows))


def _count(value: float) -> str:
    return f"{value:.0f}" if abs(value - round(value)) < 0.05 else f"{value:.1f}"
