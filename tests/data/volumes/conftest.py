"""A chest in HU that tests store in every way."""

from __future__ import annotations

import numpy as np
import pytest

from frostline.data.phantoms.patients import render_patient


@pytest.fixture(scope="module")
def chest() -> np.ndarray:
    """HU of a synthetic chest, int16 [8, 64, 64], LPS; each slice has a mark of its own."""
    grey = render_patient(3, "malignant", 8, 64).astype(np.float64)
    hu = np.rint(grey * 1350 / 255 - 1050).astype(np.int16)
    hu[:, 0, 0] = 100 * np.arange(8)
    return hu
