"""What a trained network's file holds beside its weights: all that its use needs, as plain values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from frostline.data.reading import Reading
from frostline.errors import FrostlineError, first_line
from frostline.evaluation.conformal import ClassScores, limit
from frostline.evaluation.unlike import KEPT, SIDE, Familiar
from frostline.task import Task

RECORD = "frostline"  # where a file keeps it: `training.checkpoints`
VALUES = ("auto", "grey", "hu")  # as data.values allows
LARGEST = 2048  # pixels a side, as data.image_size allows


@dataclass(frozen=True)
class Known:
    """What is known of a network."""

    task: Task
    image_size: int
    reading: Reading
    temperature: float
    threshold: float | None
    """Probability of the positive class, as trained, from which an image counts as positive; None: none was chosen."""
    scores: tuple[ClassScores, ...]
    """Of every class on validation, for prediction sets; none in checkpoints of before."""
    familiar: Familiar | None
    """What its training images look like; None where its run was no final one."""
    never: tuple[int, ...]
    """Classes that were the likeliest one of no validation image, as far as it says so."""
    finished: bool
    """Whether it carries what is chosen after training: not those of earlier versions and of unfinished runs."""

    def limits(self, coverage: float) -> list[float]:
        """With which score each class is in a set that covers that share of new images of it; infinite: always."""
        return [limit(scores, coverage) for scores in self.scores] or [math.inf] * len(self.task)


@contextmanager
def damaged_in_a_line(file: Path) -> Iterator[None]:
    """Tell whatever a damaged record, or one of another version, makes Python raise as `FrostlineError`."""
    try:
        yield
    except FrostlineError:
        raise
    except Exception as error:
        raise FrostlineError(
            f"{file}: its record is damaged or of another version ({type(error).__name__}: {first_line(error)[:120]})"
        ) from None


def read_record(record: Mapping[str, Any], features: int) -> Known:
    """What a record says of a network with so many features.

    Raises whatever a damaged record makes Python raise: the caller knows the file.
    """
    task = Task(tuple(str(name) for name in record["classes"]), record["positive"])
    size = int(record["image_size"])
    if not 0 < size <= LARGEST:
        raise ValueError(f"sizes that images have not: {size} pixels")
    chosen = record.get("chosen")
    threshold = None if chosen is None or chosen["threshold"] is None else finite(chosen["threshold"])
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"{threshold} where a probability is wanted")
    return Known(
        task,
        size,
        _reading(record),
        1.0 if chosen is None else positive(chosen["temperature"]),
        threshold,
        () if chosen is None else _scores(chosen["conformal"], len(task)),
        _familiar(record, features),
        () if chosen is None else tuple(int(i) for i in chosen.get("never", ())),
        finished=chosen is not None,
    )


def _familiar(record: Mapping[str, Any], features: int) -> Familiar | None:
    kept = record.get("familiar")
    if kept is None:
        return None
    if "looks_limit" not in kept:  # of an earlier version, which went by features alone
        return None
    known, mean, precision = (np.asarray(kept[name], np.float32) for name in ("features", "mean", "precision"))
    if known.ndim != 2 or known.shape[1] != features or not len(known):
        raise ValueError("features that are not this network's")
    if mean.shape != (SIDE**2,) or precision.shape != (SIDE**2, SIDE**2) or not np.isfinite(precision).all():
        raise ValueError("looks that are none")
    all_of_them = range(len(known)) if len(known) < KEPT else ()  # what an earlier version does not say
    rows = np.asarray(kept.get("rows", all_of_them), np.int64)
    if len(rows) not in (0, len(known)) or (rows < 0).any():
        raise ValueError("rows of training images that are none")
    return Familiar(known, positive(kept["features_limit"]), mean, precision, positive(kept["looks_limit"]), rows)


def finite(value: Any) -> float:
    """A number that is one. Raises ValueError."""
    if not math.isfinite(number := float(value)):
        raise ValueError(f"{number} where a number is wanted")
    return number


def positive(value: Any) -> float:
    """A number above 0. Raises ValueError."""
    if (number := finite(value)) <= 0:
        raise ValueError(f"{number} where a number above 0 is wanted")
    return number


def _scores(kept: Sequence[Mapping[str, Any]], classes: int) -> tuple[ClassScores, ...]:
    scores = tuple(ClassScores(tuple(map(finite, one["scores"])), tuple(map(finite, one["weights"]))) for one in kept)
    if len(scores) != classes or any(len(one.scores) != len(one.weights) for one in scores):
        raise ValueError("scores that are not those of its classes")
    return scores


def three(values: tuple[float, ...]) -> tuple[float, float, float]:
    """Three numbers. Raises ValueError."""
    first, second, third = values
    return first, second, third


def _reading(record: Mapping[str, Any]) -> Reading:
    center, width = finite(record["window"][0]), positive(record["window"][1])
    values = record.get("values") or {}  # of checkpoints of before: as the defaults are
    kept, kind = values.get("dicom_keep", ()), str(values.get("kind", "auto"))
    if not isinstance(kept, (list, tuple)) or kind not in VALUES:
        raise ValueError("a way of reading images that is not known here")
    return Reading(center, width, kind, finite(values.get("offset", 0.0)), tuple(str(one) for one in kept))
