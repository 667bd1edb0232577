"""Finished runs of a study, made without a training: what they predict is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from frostline.config.compose import compose_config
from frostline.config.schema import RunConfig
from frostline.data.manifest import Example, manifest_csv
from frostline.runs.folder import RunFolder
from frostline.runs.predictions import SplitPredictions, write_predictions
from frostline.task import LUNG
from tests.conftest import TINY


def images_of(fold: int, groups: int, images: int = 3) -> list[Example]:
    """Validation images of a fold: so many groups of each class, of so many images each."""
    return [
        Example(f"{label}/f{fold}g{g}i{i}.png", f"{fold:02}{k}{g:04}{i:02}", label, f"f{fold}{label}{g}", "val")
        for k, label in enumerate(LUNG.classes)
        for g in range(groups)
        for i in range(images)
    ]


@cache
def _base() -> RunConfig:
    return compose_config([*TINY, "data.classes=[benign,malignant,normal]", "test=false"])


def write_run(
    folder: Path,
    params: Mapping[str, int],
    examples: Sequence[Example],
    correct: np.ndarray,
    rest: Sequence[Example] = (),
) -> None:
    """A finished run with this depth, seed and fold that classifies `examples` as `correct`, bool [N], says.

    It was trained on the `rest`.
    """
    data = replace(_base().data, val_fold=params.get("data.val_fold"))
    config = replace(_base(), freeze=params["freeze"], seed=params.get("seed", 0), data=data)
    run = RunFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    others = [
        Example(f"{x}/{split}.png", f"{x}{split}", x, f"{x}{split}", split)
        for x in LUNG.classes
        for split in ("train", "test")
    ]
    run.claim(config, manifest_csv([*examples, *others, *(replace(e, split="train") for e in rest)]))
    targets = np.array([LUNG.index(e.label) for e in examples])
    predicted = np.where(correct, targets, (targets + 1) % 3)
    probabilities = (0.1 + 0.7 * np.eye(3)[predicted]).astype(np.float32)
    write_predictions(run.predictions, {"val": SplitPredictions(LUNG, tuple(examples), probabilities)})
    run.finish({"val/acc": float(correct.mean()), "freeze": config.freeze, "seed": config.seed})
