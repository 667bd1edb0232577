"""Predictions are read back as they were, bit for bit, and pooled in one order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from frostline.data.manifest import Example
from frostline.runs.predictions import SplitPredictions, pool, read_predictions, write_predictions
from frostline.task import Task

TASK = Task(("cyst", "large cell tumour"), "large cell tumour")


def some(split: str, count: int, probabilities: np.ndarray | None = None) -> SplitPredictions:
    examples = tuple(
        Example(f"{split}/{i}.png", f"{(7 * i) % 100:064d}", TASK.classes[i % 2], f"g{i // 2}", split)
        for i in range(count)
    )
    if probabilities is None:
        probabilities = np.random.default_rng(count).dirichlet([1, 1], count).astype(np.float32)
    return SplitPredictions(TASK, examples, probabilities)


@given(values=arrays(np.float32, (5, 2), elements=st.floats(0, 1, width=32)))
def test_what_is_written_is_read_back_bit_for_bit(values: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("p") / "predictions.csv"
    written = {"val": some("val", 5, values), "test": some("test", 4)}
    write_predictions(file, written)
    examples = {e.path: e for p in written.values() for e in p.examples}
    read = read_predictions(file, TASK, examples)
    for split, p in written.items():
        expected = p.by_checksum()
        assert read[split].examples == expected.examples
        assert read[split].probabilities.dtype == np.float32
        assert np.array_equal(read[split].probabilities, expected.probabilities)
        assert np.array_equal(read[split].predicted, expected.predicted)


def test_parts_are_pooled_by_checksum_whatever_their_order() -> None:
    a, b = some("val", 6), some("test", 5)
    one, other = pool([a, b]), pool([b, a])
    assert one.examples == other.examples
    assert np.array_equal(one.probabilities, other.probabilities)
    assert len(one) == 11
    i = one.examples.index(a.examples[3])
    assert np.array_equal(one.probabilities[i], a.probabilities[3])
    assert one.targets[i] == 1
    assert one.groups[i] == "g1"
