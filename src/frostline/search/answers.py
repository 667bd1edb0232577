"""Which validation images each trial has right, kept in the study: hosts with a disk each judge by the same."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial

from frostline.data.manifest import read_manifest
from frostline.runs.finished import read_run
from frostline.runs.folder import RunFolder

ATTRIBUTE = "val/answers"  # of a trial
IMAGES = "val/images"  # of the study, one for each validation set


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


def keep_answers(study: optuna.Study, trial: Trial, run_dir: Path) -> None:
    """Write to the study what the finished run of a trial predicts on validation: a bit an image, once its class."""
    p = read_run(run_dir, splits=("val",)).predictions["val"]
    images = hashlib.sha256(repr([(e.sha256, e.label, e.group) for e in p.examples]).encode()).hexdigest()[:16]
    every = np.unique([e.group for e in read_manifest(RunFolder(run_dir).manifest)])  # a group may be in several folds
    groups = np.searchsorted(every, p.groups)  # their names may be those of patients
    answers = Answers(images, len(p.task), p.predicted == p.targets, p.targets, groups)
    about, of_trial = packed(answers)
    for attributes, owner in ((about, study), (of_trial, trial)):
        for name in attributes.keys() - owner.user_attrs.keys():
            owner.set_user_attr(name, attributes[name])


def packed(answers: Answers) -> tuple[dict[str, Any], dict[str, Any]]:
    """The attributes of a study and of a trial that `answers_of` reads."""
    targets, groups = _pack(answers.targets.astype("<u2")), _pack(answers.groups.astype("<u4"))
    about = {f"{IMAGES}/{answers.images}": {"classes": answers.classes, "targets": targets, "groups": groups}}
    return about, {ATTRIBUTE: {"images": answers.images, "correct": _pack(np.packbits(answers.correct))}}


def answers_of(study: Mapping[str, Any], trial: FrozenTrial) -> Answers | None:
    """What a trial has kept, and the attributes of its study; None of one of before they did."""
    kept: dict[str, Any] | None = trial.user_attrs.get(ATTRIBUTE)
    about: dict[str, Any] | None = None if kept is None else study.get(f"{IMAGES}/{kept['images']}")
    if kept is None or about is None:
        return None
    targets = np.frombuffer(_unpack(about["targets"]), "<u2").astype(int)
    correct = np.unpackbits(np.frombuffer(_unpack(kept["correct"]), np.uint8), count=len(targets)).astype(bool)
    groups = np.frombuffer(_unpack(about["groups"]), "<u4").astype(int)
    return Answers(kept["images"], about["classes"], correct, targets, groups)


def _pack(values: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(values.tobytes(), 9)).decode()


def _unpack(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))
