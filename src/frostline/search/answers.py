"""Which validation images each trial has right, kept in the study: hosts with a disk each judge by the same."""

from __future__ import annotations

import base64
import hashlib
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from optuna.trial import FrozenTrial, Trial

from frostline.evaluation.intervals import number_groups
from frostline.runs.finished import read_run

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
    """Numbers of their groups, int [N]: those of other images are other groups."""


def keep_answers(trial: Trial, run_dir: Path) -> None:
    """Write to the study what the finished run of a trial predicts on validation: a few bytes an image."""
    p = read_run(run_dir, splits=("val",)).predictions["val"]
    about = [(e.sha256, e.label, e.group) for e in p.examples]
    kept = {
        "images": hashlib.sha256(repr(about).encode()).hexdigest()[:16],
        "classes": len(p.task),
        "correct": _pack(np.packbits(p.predicted == p.targets)),
        "targets": _pack(p.targets.astype("<u2")),
        "groups": _pack(number_groups(p.groups).astype("<u4")),  # their names may be those of patients
    }
    trial.set_user_attr(ATTRIBUTE, kept)


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
