"""The order of an epoch: every image once, balanced where asked, from seed and epoch alone."""

from __future__ import annotations

from frostline.data.sampling import EpochSampler
from frostline.seeding import derive_seed


def test_balanced_sampling_is_repeatable_and_changes_with_the_epoch() -> None:
    labels = [0] * 30 + [1] * 5 + [2] * 5
    first, again = (EpochSampler(labels, seed=1, balanced=True) for _ in range(2))
    assert list(first) == list(again)
    again.set_epoch(1)
    assert list(first) != list(again)
    assert len(list(again)) == len(again) == 40


def test_seeds_of_neighbouring_runs_and_epochs_do_not_overlap() -> None:
    assert len({derive_seed(seed, epoch) for seed in range(50) for epoch in range(50)}) == 2500
    orders = set()
    for seed in range(4):
        sampler = EpochSampler([0] * 30, seed)
        for epoch in range(4):
            sampler.set_epoch(epoch)
            orders.add(tuple(sampler))
    assert len(orders) == 16


def test_every_image_is_seen_once_an_epoch_with_its_own_augmentation() -> None:
    sampler = EpochSampler([0, 1, 2] * 50, seed=5)
    items = list(sampler)
    assert sorted(i for i, _ in items) == list(range(150))
    assert [i for i, _ in items] != list(range(150))
    assert len({seed for _, seed in items}) == 150
    sampler.set_epoch(1)
    assert set(sampler).isdisjoint(items)
