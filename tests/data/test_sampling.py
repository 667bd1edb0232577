"""The order of an epoch, from seed and epoch alone; whatever the number of processes, a step sees the same images."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from frostline.data.sampling import EpochSampler, Item
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


def batches(items: list[Item], size: int) -> list[list[Item]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


@given(
    images=st.integers(8, 60),
    each=st.integers(1, 5),
    of=st.integers(1, 4),
    seed=st.integers(0, 9),
    balanced=st.booleans(),
)
def test_processes_share_every_batch_of_one_process(images: int, each: int, of: int, seed: int, balanced: bool) -> None:
    labels, batch = [i % 3 for i in range(images)], each * of
    samplers = [EpochSampler(labels, seed, balanced, batch, rank, of) for rank in range(of)]
    for sampler in samplers:
        sampler.set_epoch(2)
    shares = [batches(list(sampler), each) for sampler in samplers]
    assert [sum(map(len, share)) for share in shares] == [len(sampler) for sampler in samplers]
    assert len({len(share) for share in shares}) == 1  # or some would wait for ever
    alone = EpochSampler(labels, seed, balanced, batch)
    alone.set_epoch(2)
    for whole, parts in zip(batches(list(alone), batch), zip(*shares, strict=True), strict=False):
        assert sorted(whole) == sorted(item for part in parts for item in part)
    seen = sum(len(share) for share in shares[0])
    assert len(samplers[0]) == seen
    left_out = images - sum(map(len, samplers))
    assert left_out < 2 * of or left_out < batch
