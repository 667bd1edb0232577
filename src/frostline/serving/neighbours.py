"""The training images that an image is most like, where a run's folder and its data are at hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from frostline.config.compose import read_config
from frostline.data.cache import load_image
from frostline.data.dataset import data_root
from frostline.data.manifest import Example, read_manifest
from frostline.data.records import file_sha256
from frostline.errors import FrostlineError
from frostline.inference.network import Network
from frostline.runs.finished import task_of
from frostline.runs.folder import RunFolder

SHOWN = 4


@dataclass(frozen=True)
class Neighbour:
    """A training image."""

    grey: np.ndarray
    """float32 [S, S] in 0..1, as the network gets it."""
    label: str
    path: str
    """In the data set's folder."""


@dataclass(frozen=True)
class TrainingImages:
    """Those of one network that are remembered, and where they lie."""

    network: Network
    rows: dict[int, Example]
    """By place in the manifest's training split."""
    root: Path

    def nearest(self, image: Tensor) -> list[Neighbour]:
        """The likest by what the network makes of images, each of another group, of those that are there unchanged.

        `image`: [1, S, S] in 0..1.
        """
        familiar = self.network.familiar
        if familiar is None:
            return []
        found: dict[str, Neighbour] = {}
        for row in familiar.nearest(self.network.compute(image[None])[1][0]).tolist():
            example = self.rows.get(row)
            if example is None or example.group in found:
                continue
            file = self.root / example.path
            if not file.is_file() or file_sha256(file) != example.sha256:
                continue
            grey = load_image(file, self.network.image_size, self.network.reading)[0].numpy()
            found[example.group] = Neighbour(grey, example.label, example.path)
            if len(found) == SHOWN:
                break
        return [*found.values()]


def training_images(network: Network, root: Path | None) -> TrainingImages | str:
    """Those of a network whose file lies in its run's folder; else why they cannot be shown, in a line.

    `root`: where the data set is now, if it is not where the run found it.
    """
    if network.familiar is None or not len(network.familiar.rows):
        return f"{network.file.name} does not say which they were: runs that were tested do, of this version"
    folder = RunFolder(network.file.parent)
    if not folder.manifest.is_file():
        return f"{folder.manifest} is not there: it names them"
    try:
        config = read_config(folder.path, root)
        options = folder.read_options()
        task = task_of(options)
        examples = read_manifest(folder.manifest, task.classes, options.get("data.subgroups", ()))
        if config.data.name == "phantom" and not Path(config.logs_dir).is_dir():
            return f"{config.logs_dir} is not there, where the phantoms lie"
        there = data_root(config.data, Path(config.logs_dir) / "cache")
    except (FrostlineError, OSError, KeyError, ValueError) as error:
        return str(error).splitlines()[0]
    rows = dict(enumerate(e for e in examples if e.split == "train"))
    if not any((there / e.path).is_file() for e in rows.values()):
        return f"none of them is below {there}: --data DIR says where they are"
    return TrainingImages(network, rows, there)
