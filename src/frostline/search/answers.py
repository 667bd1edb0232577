"""Which validation images each trial has right, kept in the study: hosts with a disk each judge by the same."""

from __future__ import annotations

import base64
import hashlib
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from optuna.trial import FrozenTrial, Trial

from frostline.data.manifest import read_manifest
from frostline.runs.finished import read_run
from frostline.runs.folder import RunFolder

ATTRIBUTE = "val/answers"  # of a trial


class Answers(NamedTuple):
    """What a trial says of N validation images, in the order of their checksums."""

    images: str
    """The same for trials on the same images, in the same groups."""
    classes: int
    correct: np.ndarray
    """Whether they are classified correctly, bool [N]."""
    targets: np.ndarray
    """Their classes, int [N]."""
    groups: np.ndarray
    """Numbers of their groups, int [N]: the same for the same group in all trials on one data set."""


def keep_answers(trial: Trial, run_dir: Path) -> None:
    """Write to the study what the finished run of a trial predicts on validation: a few bytes an image."""
    p = read_run(run_dir, splits=("val",)).predictions["val"]
    images = hashlib.sha256(repr([(e.sha256, e.label, e.group) for e in p.examples]).encode()).hexdigest()[:16]
    every = np.unique([e.group for e in read_manifest(RunFolder(run_dir).manifest)])  # a group may be in several folds
    groups = np.searchsorted(every, p.groups)  # their names may be those of patients
    answers = Answers(images, len(p.task), p.predicted == p.targets, p.targets, groups)
    trial.set_user_attr(ATTRIBUTE, packed(answers))


def packed(answers: Answers) -> dict[str, Any]:
    """As JSON takes them, and `answers_of` reads them."""
    return {
        "images": answers.images,
        "classes": answers.classes,
        "correct": _pack(np.packbits(answers.correct)),
        "targets": _pack(answers.targets.astype("<u2")),
        "groups": _pack(answers.groups.astype("<u4")),
    }


def answers_of(trial: FrozenTrial) -> Answers | None:
    """What a trial has kept; None of one of before they did."""
    kept: dict[str, Any] | None = trial.user_attrs.get(ATTRIBUTE)
    if kept is None:
        return None
    targets = np.frombuffer(_unpack(kept["targets"]), "<u2").astype(int)
    correct = np.unpackbits(np.frombuffer(_unpack(kept["correct"]), np.uint8), count=len(targets)).astype(bool)
    groups = np.frombuffer(_unpack(kept["groups"]), "<u4").astype(int)
    return Answers(kept["images"], kept["classes"], correct, targets, groups)


def _pack(values: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(values.tobytes(), 9)).decode()


def _unpack(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))
