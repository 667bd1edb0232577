"""A trained network out of its checkpoint, which holds all that its use needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from frostline.errors import FrostlineError, first_line
from frostline.evaluation.calibration import scale
from frostline.evaluation.conformal import prediction_sets
from frostline.evaluation.unlike import SIDE
from frostline.inference.record import RECORD, Known, damaged_in_a_line, finite, positive, read_record, three
from frostline.models.backbones import build_backbone
from frostline.models.classifier import SliceClassifier, thumbnails
from frostline.models.head import build_head
from frostline.models.weights import InputSpec

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
class Network(Known, ABC):
    """A network with all that it takes to use it."""

    file: Path

    @abstractmethod
    def compute(self, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities as trained [N, C] and features [N, D], float32, of images [N, 1, H, W] in 0..1."""

    def say(self, images: Tensor, coverage: float) -> Said:
        """What it says of images [N, 1, H, W] in 0..1."""
        raw, features = self.compute(images)
        unlike = None
        if self.familiar is not None:
            unlike = self.familiar.distances(features, thumbnails(images, SIDE).cpu().numpy())
        i = self.task.positive_index
        positive = None if i is None or self.threshold is None else raw[:, i] >= self.threshold
        return Said(scale(raw, self.temperature), positive, prediction_sets(raw, self.limits(coverage)), unlike)


@dataclass(frozen=True)
class TrainedNetwork(Network):
    """As it was trained, by torch."""

    network: SliceClassifier
    record: Mapping[str, Any]
    """What its file says of it, as it stands there."""

    @torch.inference_mode()
    def compute(self, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """As `Network.compute`."""
        features = self.network.features(images.to(next(self.network.parameters()).device))
        return self.network.head(features).float().softmax(-1).cpu().numpy(), features.float().cpu().numpy()


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
    with damaged_in_a_line(file):
        return _build(file, record, content["state_dict"])


def _refuse_other_tensors(name: str, state: Mapping[str, Tensor]) -> None:
    """Raise ValueError where tensors are not those of a network of that name, before memory is taken for them."""
    with torch.device("meta"):
        wanted = {f"{PREFIX}net.{key}": value.shape for key, value in build_backbone(name)[0].state_dict().items()}
    wrong = [key for key, shape in wanted.items() if key not in state or state[key].shape != shape]
    if wrong:
        raise ValueError(f"no tensors of a {name}, such as {wrong[0].removeprefix(PREFIX)}")


def _build(file: Path, record: Mapping[str, Any], state: Mapping[str, Tensor]) -> TrainedNetwork:
    model, spec = record["model"], record["input"]
    widths = [int(width) for width in model["head_widths"]]
    have = {v.shape[0] for k, v in state.items() if k.startswith(f"{PREFIX}head.") and v.ndim == 2}
    if not set(widths) <= have:  # before memory is asked for
        raise ValueError("sizes that its tensors have not")
    _refuse_other_tensors(str(model["name"]), state)
    net, features = build_backbone(str(model["name"]))
    known = read_record(record, features)
    head = build_head(features, len(known.task), widths, float(model["dropout"]), str(model["activation"]))
    mean, std = tuple(map(finite, spec["mean"])), tuple(map(positive, spec["std"]))
    network = SliceClassifier(net, head, [], InputSpec(three(mean), three(std), bool(spec["turned"])))
    network.load_state_dict({k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)})
    network.to("cuda" if torch.cuda.is_available() else "cpu").to(memory_format=torch.channels_last).eval()
    return TrainedNetwork(**vars(known), file=file, network=network, record=record)
