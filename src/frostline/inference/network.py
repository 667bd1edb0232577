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
from frostline.evaluation.unlike import Familiar
from frostline.models.backbones import build_backbone
from frostline.models.classifier import SliceClassifier
from frostline.models.head import build_head
from frostline.models.weights import InputSpec
from frostline.task import Task

RECORD = "frostline"  # where a checkpoint keeps plain values: `training.checkpoints`
WIDEST = 1 << 16  # of a head's layers: a damaged record asks for no more memory than that
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

    def limits(self, coverage: float) -> list[float]:
        """With which score each class is in a set that covers that share of new images of it; infinite: always."""
        return [limit(scores, coverage) for scores in self.scores] or [math.inf] * len(self.task)

    @torch.inference_mode()
    def say(self, images: Tensor, coverage: float) -> Said:
        """What it says of images [N, 1, H, W] in 0..1."""
        features = self.network.features(images)
        raw = self.network.head(features).float().softmax(-1).cpu().numpy()
        unlike = None if self.familiar is None else self.familiar.distances(features.float().cpu().numpy())
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
    if any(not 0 < width <= WIDEST for width in widths) or not 0 < size <= WIDEST:
        raise ValueError("sizes that no network has")
    net, features = build_backbone(str(model["name"]))
    head = build_head(features, len(task), widths, float(model["dropout"]), str(model["activation"]))
    mean, std = (tuple(float(v) for v in spec[name]) for name in ("mean", "std"))
    network = SliceClassifier(net, head, [], InputSpec(_three(mean), _three(std), bool(spec["turned"])))
    network.load_state_dict({k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)})
    network.to(memory_format=torch.channels_last).eval()
    chosen = record.get("chosen") or {}
    threshold = chosen.get("threshold")
    return TrainedNetwork(
        file,
        task,
        network,
        size,
        _reading(record),
        float(chosen.get("temperature", 1.0)),
        None if threshold is None else float(threshold),
        tuple(
            ClassScores(tuple(map(float, one["scores"])), tuple(map(float, one["weights"])))
            for one in chosen.get("conformal", ())
        ),
        _familiar(record, features),
    )


def _familiar(record: Mapping[str, Any], features: int) -> Familiar | None:
    kept = record.get("familiar")
    if kept is None:
        return None
    known, limit_ = kept["features"].float().numpy(), float(kept["limit"])
    if known.ndim != 2 or known.shape[1] != features or not len(known) or not limit_ > 0:
        raise ValueError("features that are not this network's")
    return Familiar(known, limit_)


def _three(values: tuple[float, ...]) -> tuple[float, float, float]:
    first, second, third = values
    return first, second, third


def _reading(record: Mapping[str, Any]) -> Reading:
    center, width = (float(v) for v in record["window"])
    values = record.get("values") or {}  # of checkpoints of before: as the defaults are
    keep = tuple(str(kind) for kind in values.get("dicom_keep", ()))
    return Reading(center, width, str(values.get("kind", "auto")), float(values.get("offset", 0.0)), keep)


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
