"""The data of a run, as Lightning asks for it: scan, group, split, and loaders that depend on the seed alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from frostline.config.schema import DataConfig
from frostline.data.cache import ImageCache, bytes_of, shared_images
from frostline.data.dataset import SplitData, reading_of, split_data
from frostline.data.sampling import EpochSampler, Item, PlainSampler
from frostline.data.shared import make_room
from frostline.data.splits import SPLITS
from frostline.data.transforms import augment, draw_changes, find_augmentation, mirrored
from frostline.errors import ConfigError, FrostlineError

Values = tuple[Tensor, ...]  # what frozen layers made of an image
Batch = tuple[Tensor | list[Tensor], Tensor] | tuple[Tensor, Tensor, Tensor]


class SliceDataset(Dataset[Any]):
    """Batches of images [N, 1, H, W] and classes [N]; an item is asked for with the seed of its augmentation, or None.

    With seeds a batch has what `transforms.draw_changes` makes of them too. Where `keep` was told what the frozen
    layers make of every image, it gives that in place of the images, changed already.
    """

    def __init__(self, images: ImageCache, labels: Sequence[int], augment: str = "none") -> None:
        self._images = images
        self._labels = torch.tensor(labels)
        self.augmentation = find_augmentation(augment)
        self._kept: Sequence[Sequence[Values]] = ()

    def keep(self, variants: Sequence[Sequence[Values]]) -> None:
        """Give these values from now on, by variant of `transforms.VARIANTS` and by image.

        None of them: images again.
        """
        self._kept = variants

    def __len__(self) -> int:
        return len(self._labels)

    def __getitems__(self, items: Sequence[Item]) -> Batch:
        indices, seeds = [i for i, _ in items], [seed for _, seed in items if seed is not None]
        labels, drawn = self._labels[indices], draw_changes(seeds) if seeds else None
        if self._kept:
            flips = [False] * len(items) if drawn is None else mirrored(self.augmentation, drawn).tolist()
            values = [self._kept[flip][i] for flip, i in zip(flips, indices, strict=True)]
            return [torch.stack(of_all) for of_all in zip(*values, strict=True)], labels
        images = self._images.batch(indices)
        return (images, labels) if drawn is None else (images, labels, drawn)


def _as_it_is(batch: Any) -> Any:
    return batch


Loader = DataLoader[Any]


class SliceDataModule(L.LightningDataModule):
    """Train, val and test loaders of [N, 1, H, W] images in 0..1 and [N] classes.

    Training images are changed when their batch is on the device. `setup("fit")` does not touch a test image;
    `setup("test")` does. In training and its validation, process `rank` of `of` has its share of every batch.
    """

    def __init__(self, config: DataConfig, seed: int, cache_dir: Path, rank: int = 0, of: int = 1) -> None:
        super().__init__()
        if config.batch_size % of:
            raise ConfigError(
                f"data.batch_size={config.batch_size}: {of} processes (trainer.devices) cannot share it evenly"
            )
        self.config = config
        self._seed, self._rank, self._of = seed, rank, of
        self.cache_dir = cache_dir
        self._split: SplitData | None = None
        self._datasets: dict[str, SliceDataset] = {}

    @property
    def data(self) -> SplitData:
        """The data set in its splits; made once."""
        if self._split is None:
            self._split = split_data(self.config, self.cache_dir)
        return self._split

    def labels(self, split: str) -> list[int]:
        """Index of the class of every image of a split, in the loader's order where that is fixed."""
        return [self.data.task.index(e.label) for e in self.data.of(split)]

    def class_weights(self) -> Tensor | None:
        """Weights [C] that make every class count the same in the loss (mean 1 over images), if asked for."""
        if self.config.balance != "class_weights":
            return None
        labels, classes = self.labels("train"), len(self.data.task)
        count = Counter(labels)
        return torch.tensor([len(labels) / (classes * count[i]) for i in range(classes)])

    def setup(self, stage: str) -> None:
        """Make the data sets of a stage: `fit` train and val, `test` test."""
        for split in {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}.get(stage, SPLITS):
            if split not in self._datasets:
                self._datasets[split] = self._make(split)

    def _make(self, split: str) -> SliceDataset:
        c, examples = self.config, self.data.of(split)
        if not examples:
            raise FrostlineError(f"split {split} is empty")
        share = c.cache_gb * len(examples) / len(self.data.examples) / max(1, c.workers)  # each keeps its own
        shared = shared_images(self.cache_dir / "images", self.data.examples, c.image_size, reading_of(c))
        fits = make_room(shared.folder, len(self.data.examples) * bytes_of(c.image_size), c.shared_cache_gb * 1e9)
        images = ImageCache(self.data.root, examples, c.image_size, reading_of(c), share, shared if fits else None)
        return SliceDataset(images, self.labels(split), c.augment if split == "train" else "none")

    def images(self, split: str) -> SliceDataset:
        """The data set of a split, which loads its images when they are asked for."""
        self.setup({"train": "fit", "val": "validate"}.get(split, split))
        return self._datasets[split]

    def _loader(self, split: str, sampler: Sampler[Item] | list[Item], size: int = 0) -> Loader:
        return DataLoader(
            self.images(split),
            batch_size=size or self.config.batch_size,
            sampler=sampler,
            collate_fn=_as_it_is,
            num_workers=self.config.workers,
            persistent_workers=self.config.workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> tuple[Tensor | list[Tensor], Tensor]:
        """Change the images of a training batch, where they are."""
        if len(batch) == 2:
            return batch
        images, labels, drawn = batch
        return augment(images, drawn, self._datasets["train"].augmentation), labels

    def train_dataloader(self) -> Loader:
        """Shuffled by (seed, epoch), augmented."""
        labels = self.labels("train")
        if self._of > 1 and len(labels) < 2 * self._of:
            raise ConfigError(f"trainer.devices={self._of}: {len(labels)} training images are too few for so many")
        sampler = EpochSampler(
            labels, self._seed, self.config.balance == "sampler", self.config.batch_size, self._rank, self._of
        )
        return self._loader("train", sampler, self.config.batch_size // self._of)

    def val_dataloader(self) -> Loader:
        """In order, unchanged."""
        mine = range(self._rank, len(self.labels("val")), self._of)
        return self.loader_of("val", mine, self.config.batch_size // self._of)

    def test_dataloader(self) -> Loader:
        """In order, unchanged."""
        return self.eval_loader("test")

    def eval_loader(self, split: str) -> Loader:
        """The images of `split` in order, unchanged."""
        return self._loader(split, PlainSampler(len(self.labels(split))))

    def loader_of(self, split: str, images: Sequence[int], size: int) -> Loader:
        """These images of `split`, `size` at once, unchanged."""
        return self._loader(split, [(i, None) for i in images], size)
