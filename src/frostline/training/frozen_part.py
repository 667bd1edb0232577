"""What frozen layers make of the images, computed once in place of every epoch, where that saves time."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from torch import Tensor

from frostline.config.schema import TrainerConfig
from frostline.data.datamodule import SliceDataModule, Values
from frostline.data.dataset import reading_of
from frostline.data.shared import SharedTensors, make_room
from frostline.data.transforms import CHANGES, VARIANTS
from frostline.models.classifier import BuiltModel, SliceClassifier
from frostline.terminal import progress
from frostline.training.frozen_values import AT_ONCE, shared_values, stacked
from frostline.training.hardware import Hardware

log = logging.getLogger("frostline")
LEAST_SAVED = 0.05  # of the time: below, it is not worth the memory


@dataclass(frozen=True)
class Saving:
    """Whether to keep what the frozen part makes of a split's images."""

    passes: int
    """How often it is computed to keep it: once for each variant of an image."""
    share: float
    """Of the time of the split's part of the training, saved."""


def saving(frozen: float, epochs: float, variants: int, *, training: bool) -> Saving:
    """What keeping saves, `frozen` being the share of the multiply-adds of a forward pass that are frozen.

    A training step costs the frozen part once and the rest three times (forward, and backward to values and weights);
    an evaluation costs all once.
    """
    epoch = frozen + (3 if training else 1) * (1 - frozen)
    return Saving(variants, max(0.0, (epochs - variants) * frozen / (epochs * epoch)) if epochs else 0.0)


def passes_of(limit: float, batches: int, epochs: int) -> float:
    """How often `epochs` go over all images, when each takes `limit` batches: a number, or a share of `batches`."""
    share = min(1.0, limit / max(1, batches)) if isinstance(limit, int) else limit
    return share * epochs


def keep_frozen_part(
    model: BuiltModel, data: SliceDataModule, hardware: Hardware, trainer: TrainerConfig, epochs: int
) -> None:
    """Compute the frozen part once for training and for validation images, each where it pays and there is room.

    `epochs` are still to come. What other runs have put on disk is taken from there. The values are
    those that every epoch would compute anew: training on them is training on the images (Egeria and AutoFreeze do the
    like for layers that are frozen on the way: Wang et al. 2023, Liu et al. 2021).
    """
    network, room = model.network, trainer.frozen_gb * 1e9
    if not room or not model.frozen_multiply_adds:
        return
    network.to("cuda" if hardware.accelerator == "gpu" else hardware.accelerator)
    for split, variants in (("train", len(VARIANTS.get(data.config.augment, ()))), ("val", 1)):
        training = split == "train"
        limit = trainer.limit_train_batches if training else trainer.limit_val_batches
        passes = passes_of(limit, len(data.eval_loader(split)), epochs)
        # Validation images are looked at once more in the end.
        gain = saving(model.frozen_multiply_adds, passes + (not training), variants, training=training)
        if not variants or gain.share < LEAST_SAVED or not network.cut(training):
            continue
        images = data.labels(split)
        needed = _bytes_of_an_image(network, data, split, hardware) * len(images) * variants
        if not 0 < needed <= room:
            continue
        room -= needed
        kind = f"{'training' if training else 'validation'} images{' and their mirror images' * (variants - 1)}"
        log.info(
            f"kept    what the frozen layers make of {len(images)} {kind}: {max(1, round(needed / 1e6)):,} MB, "
            f"saves up to {gain.share:.0%} of the time on them"
        )
        kept = []
        for change in VARIANTS[data.config.augment if training else "none"]:
            c, root = data.config, data.cache_dir / "frozen"
            on_disk = shared_values(root, network, hardware, c.image_size, reading_of(c), training, change)
            room_there = make_room(on_disk.folder, needed / variants, c.shared_cache_gb * 1e9)
            kept.append(_values(network, data, split, hardware, change, on_disk if room_there else None))
        data.images(split).keep(kept)


def _values(
    network: SliceClassifier,
    data: SliceDataModule,
    split: str,
    hardware: Hardware,
    change: str,
    shared: SharedTensors | None,
) -> list[Values]:
    """Of every image of the split; those that are not in `shared` are computed, and put there."""
    examples, device = data.data.of(split), next(network.parameters()).device
    found = {i: shared.find(example.sha256) for i, example in enumerate(examples)} if shared else {}
    values = {i: value for i, value in found.items() if value is not None}
    missing = [i for i in range(len(examples)) if i not in values]
    batches = [missing[at : at + AT_ONCE] for at in range(0, len(missing), AT_ONCE)]
    with hardware.autocast():
        loader = data.loader_of(split, missing, AT_ONCE) if missing else ()
        for (images, _), batch in zip(loader, progress(batches, f"frozen layers on {split}"), strict=True):
            assert isinstance(images, Tensor)
            made = network.frozen_values(CHANGES[change](stacked([*images]).to(device)), training=split == "train")
            for i, *of_image in zip(batch, *(value.cpu() for value in made), strict=False):
                values[i] = tuple(value.clone() for value in of_image)  # else each would keep its whole batch
                if shared:
                    shared.put(examples[i].sha256, values[i])
    return [values[i] for i in range(len(examples))]


def _bytes_of_an_image(network: SliceClassifier, data: SliceDataModule, split: str, hardware: Hardware) -> int:
    """Memory that the values of one image take; 0 where they are no values of images."""
    size = data.config.image_size
    image = torch.zeros(2, 1, size, size, device=next(network.parameters()).device)
    with hardware.autocast():
        values = network.frozen_values(image, training=split == "train")
    if not all(isinstance(value, Tensor) and value.ndim and len(value) == len(image) for value in values):
        return 0
    return sum(value.numel() * value.element_size() for value in values) // len(image)
