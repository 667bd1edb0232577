"""Predictions by patient: what a run says of a patient, out of what it says of each of the patient's slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from frostline.data.manifest import Example
from frostline.files import write_csv
from frostline.runs.predictions import Predictions, SplitPredictions, prediction_rows
from frostline.task import Task

PatientScore = Literal["mean", "largest"]


@dataclass(frozen=True)
class PatientPredictions(SplitPredictions):
    """The patients of a split in the place of images, in the order of their names; path and group are the name."""

    slices: tuple[int, ...]
    """Images of each."""
    mixed: int
    """How many have images of several classes."""


def by_patient(p: SplitPredictions, score: PatientScore = "mean") -> PatientPredictions:
    """Put the images of each patient, `Example.group`, together; one without a group is a patient of its own.

    Probabilities float32 [patients, C] are means over the images. With `largest` that of the positive class is the
    largest over them, and the others are their means, scaled to what that leaves. A patient is of the positive class
    when an image is, else of the class of most images, of equal ones the first. Raises `ValueError` for `largest`
    without a positive class.
    """
    p = p.by_checksum()  # one order of adding up, so that what is read back gives the same to the last bit
    names, patient = np.unique([e.group or e.path for e in p.examples], return_inverse=True)
    slices = np.bincount(patient)
    sums = np.stack([np.bincount(patient, weights=column) for column in p.probabilities.T], axis=1)
    probabilities: np.ndarray = sums / slices[:, None]
    positive = p.task.positive_index
    if score == "largest":
        if positive is None:
            raise ValueError("patient_score=largest needs a positive class")
        largest = np.zeros(len(names))
        np.maximum.at(largest, patient, p.probabilities[:, positive])
        others = 1 - probabilities[:, positive]
        probabilities *= np.divide(1 - largest, others, out=np.zeros(len(names)), where=others > 0)[:, None]
        probabilities[:, positive] = largest
    counts = np.zeros((len(names), len(p.task)), int)
    np.add.at(counts, (patient, p.targets), 1)
    true = counts.argmax(1)
    if positive is not None:
        true[counts[:, positive] > 0] = positive
    split = p.examples[0].split
    examples = tuple(
        Example(name, "", p.task.classes[i], name, split) for name, i in zip(names.tolist(), true, strict=True)
    )
    mixed = int(((counts > 0).sum(1) > 1).sum())
    return PatientPredictions(p.task, examples, probabilities.astype(np.float32), tuple(slices.tolist()), mixed)


def all_by_patient(predictions: Predictions, score: PatientScore) -> dict[str, PatientPredictions]:
    """Every split by patient."""
    return {split: by_patient(p, score) for split, p in predictions.items()}


def same_patients(predicted: Sequence[SplitPredictions], score: PatientScore) -> tuple[PatientPredictions, ...]:
    """Predictions of the same images by checksum, by patient; who is one patient is what the first says."""
    return tuple(by_patient(replace(p, examples=predicted[0].examples), score) for p in predicted)


def write_patients(file: Path, patients: Mapping[str, PatientPredictions]) -> None:
    """One row for every evaluated patient: name, true and predicted class, probabilities, split, number of slices.

    Numbers are written as in `predictions.write_predictions`.
    """
    rows = [
        [example.group, *row, split, count]
        for split, p in patients.items()
        for example, row, count in zip(p.examples, prediction_rows(p), p.slices, strict=True)
    ]
    (task,) = {p.task for p in patients.values()}
    columns = ("patient", "true", "predicted", *(f"p_{name}" for name in task.classes), "split", "slices")
    write_csv(file, columns, rows, private=True)


def score_of(metrics: Mapping[str, Any]) -> PatientScore:
    """The score by which a run, told by its metrics, put slices together; runs of before there was a choice: mean."""
    return "largest" if metrics.get("patient/score") == "largest" else "mean"


def score_in_words(score: PatientScore, task: Task) -> str:
    """What a patient's probabilities are."""
    return f"largest probability of {task.positive} over slices" if score == "largest" else "mean over slices"


def unit(known: object) -> str:
    """What stands for patients: `patient`, or `group` where patients are not known."""
    return "patient" if known else "group"


def by_unit(known: object) -> str:
    """`by patient`, or that patients are not known."""
    return "by patient" if known else "by group, patients are not known"


def mixed_in_words(mixed: int, known: object, task: Task) -> str:
    """How many patients have slices of several classes, and what they count as; empty for none."""
    if not mixed:
        return ""
    counts = "what most of them are" if task.positive is None else f"{task.positive} where one is, else what most are"
    what = f"{unit(known)} has" if mixed == 1 else f"{unit(known)}s have"
    return f"{mixed} {what} slices of several classes: {counts}."
