"""Predictions of a split: one type from the network to the page, written and read without a loss."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from frostline.data.manifest import Example
from frostline.files import write_csv
from frostline.task import Task


@dataclass(frozen=True)
class SplitPredictions:
    """The images of a split, and what a run says of them."""

    task: Task
    examples: tuple[Example, ...]
    probabilities: np.ndarray
    """float32 [N, C], in the order of `examples`"""

    def __len__(self) -> int:
        return len(self.examples)

    @cached_property
    def targets(self) -> np.ndarray:
        """True classes, int [N]."""
        return np.array([self.task.index(e.label) for e in self.examples], int)

    @cached_property
    def predicted(self) -> np.ndarray:
        """Predicted classes, int [N]; of equal probabilities the first."""
        predicted: np.ndarray = self.probabilities.argmax(1)
        return predicted

    @cached_property
    def groups(self) -> np.ndarray:
        """Names of the groups, [N]."""
        return np.array([e.group for e in self.examples])

    def by_checksum(self) -> SplitPredictions:
        """The same in the order of checksum and path, in which runs on the same images agree."""
        order = sorted(range(len(self)), key=lambda i: (self.examples[i].sha256, self.examples[i].path))
        return SplitPredictions(self.task, tuple(self.examples[i] for i in order), self.probabilities[order])


Predictions = dict[str, SplitPredictions]
"""By split: `val`, and `test` when it was evaluated."""


def pool(parts: Sequence[SplitPredictions]) -> SplitPredictions:
    """The images of several parts, such as the folds of a cross-validation, as one, by checksum."""
    examples = tuple(e for part in parts for e in part.examples)
    probabilities = np.concatenate([part.probabilities for part in parts])
    return SplitPredictions(parts[0].task, examples, probabilities).by_checksum()


def prediction_rows(p: SplitPredictions) -> list[list[object]]:
    """For every image the true class, the predicted one, and a probability for each class."""
    shortest = [[float(str(x)) for x in row] for row in p.probabilities]  # the fewest digits that are the same float32
    return [
        [example.label, p.task.classes[predicted], *probabilities]
        for example, predicted, probabilities in zip(p.examples, p.predicted.tolist(), shortest, strict=True)
    ]


def write_predictions(file: Path, predictions: Predictions) -> None:
    """One row for every evaluated image: path, true class, predicted class, a probability for each class, split.

    Probabilities are written in as many digits as it takes to read the same number back.
    """
    rows = [
        [example.path, *row, split]
        for split, of_split in predictions.items()
        for example, row in zip(of_split.examples, prediction_rows(of_split), strict=True)
    ]
    (task,) = {of_split.task for of_split in predictions.values()}
    write_csv(file, ("path", "true", "predicted", *(f"p_{name}" for name in task.classes), "split"), rows, private=True)


def read_predictions(
    file: Path, task: Task, examples: Mapping[str, Example], splits: Collection[str] = ("val", "test")
) -> Predictions:
    """What `write_predictions` wrote on `splits`, by checksum; `examples` are those of the manifest by path.

    Raises `OSError`, `KeyError` and `ValueError` for a file that does not fit them.
    """
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    predictions = {}
    for split in splits:
        of_split = [row for row in rows if row["split"] == split]
        if of_split:
            probabilities = np.array([[row[f"p_{name}"] for name in task.classes] for row in of_split], np.float32)
            chosen = tuple(examples[row["path"]] for row in of_split)
            predictions[split] = SplitPredictions(task, chosen, probabilities).by_checksum()
    return predictions
