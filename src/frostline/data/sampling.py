"""Which images in which order: from (seed, epoch) alone, what exact resuming rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

from frostline.seeding import derive_seed

Item = tuple[int, "int | None"]


class EpochSampler(Sampler[Item]):
    """The order of an epoch and a seed for each of its items, both from (seed, epoch) alone: what resuming rests on.

    Process `rank` of `of` has its share of every `batch` images, in batches of its own of `batch / of`. A last batch in
    which a process would have fewer than two images is left out: BatchNorm needs two values.
    """

    def __init__(
        self,
        labels: Sequence[int],
        seed: int,
        balanced: bool = False,
        batch: int = 1,
        rank: int = 0,
        of: int = 1,
    ) -> None:
        self._labels = labels
        self._seed = seed
        self._balanced = balanced
        self._rank, self._of = rank, of
        self._epoch = 0
        rest = len(labels) % batch
        self._used = len(labels) - rest if rest < min(batch, 2 * of) and rest < len(labels) else len(labels)

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this at the start of every epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(range(self._rank, self._used, self._of))

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
        items = list(zip(order.tolist(), seeds.tolist(), strict=True))
        return iter(items[self._rank : self._used : self._of])  # a batch is a multiple of `of`


class PlainSampler(Sampler[Item]):
    """Every image once, in order, unchanged."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Item]:
        return iter([(i, None) for i in range(self._length)])
