"""Which images in which order: from (seed, epoch) alone, what exact resuming rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

from frostline.seeding import derive_seed

Item = tuple[int, "int | None"]


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
