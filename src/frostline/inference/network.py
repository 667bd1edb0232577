"""A trained network out of its checkpoint, which holds all that its use needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from frostline.data.reading import Reading
from frostline.errors import FrostlineError, first_line
from frostline.evaluation.calibration import scale
from frostline.evaluation.conformal import ClassScores, limit, prediction_sets
from frostline.evaluation.unlike import SIDE, Familiar
from frostline.models.backbones import build_backbone
from frostline.models.classifier import SliceClassifier, thumbnails
from frostline.models.head import build_head
from frostline.models.weights import InputSpec
from frostline.task import Task

RECORD = "frostline"  # where a checkpoint keeps plain values: `training.checkpoints`
LARGEST = 2048  # pixels a side, as data.image_size allows
PREFIX = "model."


class Said(NamedTuple):
    """What a network says of N images."""

    probabilities: np.ndarray
    """Calibrated, [N, C]."""
    positive: np.ndarray | None
    """Which reach the threshold, bool [N]; None where none was chosen."""
    sets: np.ndarray
    """Which classes are in the prediction set of each, bool [N, C]."""
    unlike: np.ndarray | None
    """How far each is from the training images, [N]; beyond 1 it is unlike them; None where that is not known."""


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with all that it takes to use it."""

    file: Path
    task: Task
    network: SliceClassifier
    image_size: int
    reading: Reading
    temperature: float
    threshold: float | None
    """Probability of the positive class, as trained, from which an image counts as positive; None: none was chosen."""
    scores: tuple[ClassScores, ...]
    """Of every class on validation, for prediction sets; none in checkpoints of before."""
    familiar: Familiar | None
    """What its training images look like; None where its run was no final one."""
    finished: bool
    """Whether it carries what is chosen after training: not those of earlier versions and of unfinished runs."""

    def limits(self, coverage: float) -> list[float]:
        """With which score each class is in a set that covers that share of new images of it; infinite: always."""
        return [limit(scores, coverage) for scores in self.scores] or [math.inf] * len(self.task)

    @torch.inference_mode()
    def say(self, images: Tensor, coverage: float) -> Said:
        """What it says of images [N, 1, H, W] in 0..1."""
        features = self.network.features(images.to(next(self.network.parameters()).device))
        raw = self.network.head(features).float().softmax(-1).cpu().numpy()
        unlike = None
        if self.familiar is not None:
            looks = thumbnails(images, SIDE).cpu().numpy()
            unlike = self.familiar.distances(features.float().cpu().numpy(), looks)
        i = self.task.positive_index
        positive = None if i is None or self.threshold is None else raw[:, i] >= self.threshold
        return Said(scale(raw, self.temperature), positive, prediction_sets(raw, self.limits(coverage)), unlike)


def load_network(file: Path) -> TrainedNetwork:
    """Read a checkpoint of ours. Nothing in it is executed.

    Raises `FrostlineError` for a file that is missing, damaged, or none of ours.
    """
    if not file.is_file():
        raise FrostlineError(f"{file}: there is no such checkpoint; a run's is its model.ckpt")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, pickle and zip raise half a dozen types for damaged or hostile files
        raise FrostlineError(
            f"{file}: no file of tensors and plain values, and nothing else is read ({first_line(error)[:120]})"
        ) from None
    record = content.get(RECORD) if isinstance(content, Mapping) else None
    if not isinstance(record, Mapping):
        raise FrostlineError(f"{file}: no checkpoint of frostline; give the model.ckpt of a run")
    try:
        return _build(file, record, content["state_dict"])
    except FrostlineError:
        raise
    except Exception as error:  # what a damaged record lacks, or has of another kind
        raise FrostlineError(
            f"{file}: its record is damaged or of another version ({type(error).__name__}: {first_line(error)[:120]})"
        ) from None


def _build(file: Path, record: Mapping[str, Any], state: Mapping[str, Tensor]) -> TrainedNetwork:
    model, spec = record["model"], record["input"]
    classes = tuple(str(name) for name in record["classes"])
    task = Task(classes, record["positive"])
    widths = [int(width) for width in model["head_widths"]]
    size = int(record["image_size"])
    have = {v.shape[0] for k, v in state.items() if k.startswith(f"{PREFIX}head.") and v.ndim == 2}
    if not set(widths) <= have or not 0 < size <= LARGEST:  # before memory is asked for
        raise ValueError("sizes that its tensors have not")
    net, features = build_backbone(str(model["name"]))
    head = build_head(features, len(task), widths, float(model["dropout"]), str(model["activation"]))
    mean, std = tuple(map(_finite, spec["mean"])), tuple(map(_positive, spec["std"]))
    network = SliceClassifier(net, head, [], InputSpec(_three(mean), _three(std), bool(spec["turned"])))
    network.load_state_dict({k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)})
    network.to("cuda" if torch.cuda.is_available() else "cpu").to(memory_format=torch.channels_last).eval()
    chosen = record.get("chosen")
    threshold = None if chosen is None else chosen["threshold"]
    return TrainedNetwork(
        file,
        task,
        network,
        size,
        _reading(record),
        1.0 if chosen is None else _positive(chosen["temperature"]),
        None if threshold is None else _finite(threshold),
        () if chosen is None else _scores(chosen["conformal"], len(task)),
        _familiar(record, features),
        finished=chosen is not None,
    )


def _familiar(record: Mapping[str, Any], features: int) -> Familiar | None:
    kept = record.get("familiar")
    if kept is None:
        return None
    if "looks_limit" not in kept:  # of an earlier version, which went by features alone
        return None
    known, mean, precision = (kept[name].float().numpy() for name in ("features", "mean", "precision"))
    if known.ndim != 2 or known.shape[1] != features or not len(known):
        raise ValueError("features that are not this network's")
    if mean.shape != (SIDE**2,) or precision.shape != (SIDE**2, SIDE**2) or not np.isfinite(precision).all():
        raise ValueError("looks that are none")
    return Familiar(known, _positive(kept["features_limit"]), mean, precision, _positive(kept["looks_limit"]))


def _finite(value: Any) -> float:
    if not math.isfinite(number := float(value)):
        raise ValueError(f"{number} where a number is wanted")
    return number


def _positive(value: Any) -> float:
    if (number := _finite(value)) <= 0:
        raise ValueError(f"{number} where a number above 0 is wanted")
    return number


def _scores(kept: Sequence[Mapping[str, Any]], classes: int) -> tuple[ClassScores, ...]:
    scores = tuple(ClassScores(tuple(map(_finite, one["scores"])), tuple(map(_finite, one["weights"]))) for one in kept)
    if len(scores) != classes or any(len(one.scores) != len(one.weights) for one in scores):
        raise ValueError("scores that are not those of its classes")
    return scores


def _three(values: tuple[float, ...]) -> tuple[float, float, float]:
    first, second, third = values
    return first, second, third


def _reading(record: Mapping[str, Any]) -> Reading:
    center, width = _finite(record["window"][0]), _positive(record["window"][1])
    values = record.get("values") or {}  # of checkpoints of before: as the defaults are
    keep = tuple(str(kind) for kind in values.get("dicom_keep", ()))
    return Reading(center, width, str(values.get("kind", "auto")), _finite(values.get("offset", 0.0)), keep)


def load_ensemble(files: Sequence[Path]) -> list[TrainedNetwork]:
    """Read several checkpoints that are to answer together. Raises `FrostlineError` where they cannot."""
    networks = [load_network(file) for file in files]
    for other in networks[1:]:
        if other.task != networks[0].task:
            raise FrostlineError(
                f"{other.file} tells apart {', '.join(other.task.classes)}, {networks[0].file} "
                f"{', '.join(networks[0].task.classes)}: an ensemble has one set of classes"
            )
    return networks
