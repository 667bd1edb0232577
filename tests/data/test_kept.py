"""What is kept is not computed again, and never believed when it is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from frostline.data.kept import kept_arrays


def test_the_same_key_is_computed_once_and_another_anew(tmp_path: Path) -> None:
    calls: list[str] = []

    def compute() -> dict[str, np.ndarray]:
        calls.append("computed")
        return {"a": np.arange(3), "words": np.array(["so", "so"])}

    for key in ("x", "x", "y"):
        found = kept_arrays(tmp_path, "thing", key, compute)
        assert found["a"].tolist() == [0, 1, 2]
        assert found["words"].tolist() == ["so", "so"]
    assert len(calls) == 2


@pytest.mark.parametrize("length", [0, 1, 40])
def test_a_damaged_file_is_made_anew(tmp_path: Path, length: int) -> None:
    def compute() -> dict[str, np.ndarray]:
        return {"a": np.arange(3)}

    kept_arrays(tmp_path, "thing", "x", compute)
    (file,) = tmp_path.glob("thing-*.npz")
    whole = file.read_bytes()
    file.write_bytes(whole[:length])
    assert kept_arrays(tmp_path, "thing", "x", compute)["a"].tolist() == [0, 1, 2]
    assert file.read_bytes() == whole
