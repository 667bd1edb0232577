"""The data of a run, as Lightning asks for it: scan, group, split, and loaders that depend on the seed alone."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from frostline.config.schema import CLASSES, DataConfig, FrostlineError
from frostline.data.cache import PictureCache
from frostline.data.grouping import find_near_pairs, group_records
from frostline.data.manifest import Example, read_manifest, verify_manifest
from frostline.data.phantoms.thorax import VERSION, write_phantoms
from frostline.data.records import Scan, Unreadable, refuse_unreadable, scan_folder
from frostline.data.splits import SPLITS, fold_grouped, fold_random, split_grouped, split_random, splits_of_fold
from frostline.data.transforms import apply_seeded, build_augmentation


@dataclass(frozen=True)
class SplitData:
    """A data set in its splits, and what leaks between them."""

    root: Path
    examples: tuple[Example, ...]
    unreadable: tuple[Unreadable, ...]
    leaks: dict[str, int]
    """Number of val and of test images that have a copy or near copy in training."""

    def of(self, split: str) -> list[Example]:
        """The examples of one split."""
        return [e for e in self.examples if e.split == split]


def scan_data(config: DataConfig, cache_dir: Path) -> Scan:
    """Read the data set that `config` names, writing the embedded one first when it is asked for."""
    return scan_folder(
        data_root(config, cache_dir),
        config.folders,
        patient_pattern=config.patient_pattern,
        window=(config.window_center, config.window_width),
        cache_dir=cache_dir,
    )


def fingerprint_data(config: DataConfig, cache_dir: Path) -> str:
    """SHA-256 over path, content and class of every image of a data set, wherever it is, and over its manifest if any.

    How else it is split is for the options to say.
    """
    scan = scan_data(config, cache_dir)
    refuse_unreadable(scan, config.on_unreadable)
    lines = sorted(f"{r.path}\0{r.sha256}\0{r.label}" for r in scan.records)
    if config.manifest is not None:
        lines += sorted(f"{e.path}\0{e.group}\0{e.split}" for e in read_manifest(Path(config.manifest)))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def data_root(config: DataConfig, cache_dir: Path) -> Path:
    """The folder of the data set; the embedded one is written below `cache_dir` when it is not there yet."""
    if config.name != "phantom":
        assert config.root is not None  # checked in config.py
        return Path(config.root)
    p = config.phantom
    root = cache_dir / f"phantoms-v{VERSION}-{p.patients}x{p.slices}-{p.size}px-seed{p.seed}"
    write_phantoms(root, seed=p.seed, patients=dict.fromkeys(CLASSES, p.patients), slices=p.slices, size=p.size)
    return root


def split_data(config: DataConfig, cache_dir: Path) -> SplitData:
    """Scan, group and split a data set. Raises `FrostlineError` for files, manifests or groups that do not allow it."""
    scan = scan_data(config, cache_dir)
    refuse_unreadable(scan, config.on_unreadable)
    absent = [name for i, name in enumerate(CLASSES) if not any(r.label == i for r in scan.records)]
    if absent:
        raise FrostlineError(f"{scan.root}: of class {', '.join(absent)} no file can be read")
    window = (config.window_center, config.window_width)
    pairs = find_near_pairs(scan, config.similarity, window, cache_dir)
    groups = group_records(scan.records, pairs)
    labels = [r.label for r in scan.records]
    paths = [r.path for r in scan.records]
    fractions = (config.train_fraction, config.val_fraction, config.test_fraction)
    if config.split == "manifest":
        assert config.manifest is not None  # checked in config.py
        listed = read_manifest(Path(config.manifest))
        verify_manifest(Path(config.manifest), listed, scan.root, scan.records)
        split_of = {e.path: e for e in listed}
        examples = tuple(split_of[path] for path in paths if path in split_of)
    else:
        if config.fold is not None and config.split == "grouped":
            splits = splits_of_fold(fold_grouped(labels, groups, config.folds, config.split_seed), config.fold)
        elif config.fold is not None:
            splits = splits_of_fold(fold_random(labels, paths, config.folds, config.split_seed), config.fold)
        elif config.split == "grouped":
            splits = split_grouped(labels, groups, fractions, config.split_seed)
        else:
            splits = split_random(labels, paths, fractions, config.split_seed)
        examples = tuple(
            Example(r.path, r.sha256, r.label, group, split)
            for r, group, split in zip(scan.records, groups, splits, strict=True)
        )
    return SplitData(scan.root, examples, scan.unreadable, count_leaks(paths, pairs.tolist(), examples))


def count_leaks(paths: Sequence[str], pairs: Sequence[Sequence[int]], examples: Sequence[Example]) -> dict[str, int]:
    """How many val, and how many test images have a near copy in training; `pairs` are indices into `paths`."""
    split = {e.path: e.split for e in examples}
    near: dict[str, set[str]] = {path: set() for path in paths}
    for i, j in pairs:
        near[paths[i]].add(split.get(paths[j], ""))
        near[paths[j]].add(split.get(paths[i], ""))
    return {name: sum(e.split == name and "train" in near[e.path] for e in examples) for name in ("val", "test")}


Item = tuple[int, "int | None"]


class SliceDataset(Dataset[tuple[Tensor, Tensor]]):
    """Pictures [1, H, W] and classes; an item is asked for with the seed of its augmentation, or None for none."""

    def __init__(self, pictures: PictureCache, labels: Sequence[int], augment: str = "none") -> None:
        self._pictures = pictures
        self._labels = torch.tensor(labels)
        self._augment = build_augmentation(augment)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, item: Item) -> tuple[Tensor, Tensor]:
        index, seed = item
        picture = self._pictures[index]
        return (picture if seed is None else apply_seeded(self._augment, picture, seed)), self._labels[index]


class EpochSampler(Sampler[Item]):
    """The order of an epoch and a seed for each of its items, both from (seed, epoch) alone: what resuming rests on."""

    def __init__(self, labels: Sequence[int], seed: int, balanced: bool = False) -> None:
        self._labels = labels
        self._seed = seed
        self._balanced = balanced
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this at the start of every epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._labels)

    def __iter__(self) -> Iterator[Item]:
        generator = torch.Generator().manual_seed(derive_seed(self._seed, self._epoch))
        n = len(self._labels)
        if self._balanced:
            count = Counter(self._labels)
            weights = torch.tensor([1 / count[label] for label in self._labels], dtype=torch.float64)
            order = torch.multinomial(weights, n, replacement=True, generator=generator)
        else:
            order = torch.randperm(n, generator=generator)
        seeds = torch.randint(2**31, (n,), generator=generator)
        return iter(list(zip(order.tolist(), seeds.tolist(), strict=True)))


class PlainSampler(Sampler[Item]):
    """Every image once, in order, unchanged."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Item]:
        return iter([(i, None) for i in range(self._length)])


def derive_seed(*parts: int) -> int:
    """One seed out of several numbers, without the overlaps that a sum would have."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big")


class SliceDataModule(L.LightningDataModule):
    """Train, val and test loaders of [N, 1, H, W] pictures in 0..1 and [N] classes.

    `setup("fit")` does not touch a test image; `setup("test")` does.
    """

    def __init__(self, config: DataConfig, seed: int, cache_dir: Path) -> None:
        super().__init__()
        self.config = config
        self._seed = seed
        self._cache_dir = cache_dir
        self._split: SplitData | None = None
        self._datasets: dict[str, SliceDataset] = {}

    @property
    def data(self) -> SplitData:
        """The data set in its splits; made once."""
        if self._split is None:
            self._split = split_data(self.config, self._cache_dir)
        return self._split

    def labels(self, split: str) -> list[int]:
        """Class of every image of a split, in the loader's order where that is fixed."""
        return [e.label for e in self.data.of(split)]

    def class_weights(self) -> Tensor | None:
        """Weights [C] that make every class count the same in the loss (mean 1 over images), if asked for."""
        if self.config.balance != "class_weights":
            return None
        count = Counter(self.labels("train"))
        return torch.tensor([len(self.labels("train")) / (len(CLASSES) * count[i]) for i in range(len(CLASSES))])

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
        window = (c.window_center, c.window_width)
        pictures = PictureCache(self.data.root, [e.path for e in examples], c.image_size, window, share)
        return SliceDataset(pictures, [e.label for e in examples], c.augment if split == "train" else "none")

    def _loader(self, split: str, sampler: Sampler[Item], drop_last: bool = False) -> DataLoader[tuple[Tensor, Tensor]]:
        self.setup({"train": "fit", "val": "validate"}.get(split, split))
        return DataLoader(
            self._datasets[split],
            batch_size=self.config.batch_size,
            sampler=sampler,
            drop_last=drop_last,
            num_workers=self.config.workers,
            persistent_workers=self.config.workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def train_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """Shuffled by (seed, epoch), augmented."""
        labels = self.labels("train")
        sampler = EpochSampler(labels, self._seed, balanced=self.config.balance == "sampler")
        one_left = len(labels) % self.config.batch_size == 1 and len(labels) > 1  # BatchNorm needs two values
        return self._loader("train", sampler, drop_last=one_left)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """In order, unchanged."""
        return self.eval_loader("val")

    def test_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """In order, unchanged."""
        return self.eval_loader("test")

    def eval_loader(self, split: str) -> DataLoader[tuple[Tensor, Tensor]]:
        """The images of `split` in order, unchanged."""
        return self._loader(split, PlainSampler(len(self.labels(split))))
