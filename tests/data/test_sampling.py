"""Whatever the number of processes, a step of the optimiser sees the same images, each with the same seed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from frostline.data.sampling import EpochSampler, Item


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
