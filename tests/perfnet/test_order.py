"""Every clip once per epoch, for any number of ranks, from any batch on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfnet.data.order import OrderConfig, ShuffledBatches, epoch_order, keys_of_rank
from perfnet.data.shard_dataset import SampleKey
from schemas.errors import ConfigError

SIZES = (5, 1, 7, 3)


def _batches(*, rank: int = 0, world_size: int = 1, **options: int) -> list[list[SampleKey]]:
    config = OrderConfig(seed=3, buffer_clips=4, rank=rank, world_size=world_size)
    return list(ShuffledBatches(SIZES, config=config, **options))  # type: ignore[arg-type]


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    epoch=st.integers(0, 5),
    buffer_clips=st.integers(1, 60),
)
def test_epoch_holds_every_clip_once(sizes: list[int], epoch: int, buffer_clips: int) -> None:
    order = epoch_order(sizes, seed=1, epoch=epoch, buffer_clips=buffer_clips)
    assert sorted(order.tolist()) == list(range(sum(sizes)))


def test_epochs_and_seeds_differ_and_repeat() -> None:
    first = epoch_order(SIZES, seed=1, epoch=0, buffer_clips=8).tolist()
    assert first == epoch_order(SIZES, seed=1, epoch=0, buffer_clips=8).tolist()
    assert first != epoch_order(SIZES, seed=1, epoch=1, buffer_clips=8).tolist()
    assert first != epoch_order(SIZES, seed=2, epoch=0, buffer_clips=8).tolist()


def test_buffer_of_one_keeps_shards_together() -> None:
    order = epoch_order((3, 3, 3), seed=0, epoch=0, buffer_clips=1).reshape(3, 3)
    assert all(np.diff(shard).tolist() == [1, 1] for shard in order)


def test_large_buffer_mixes_shards_evenly() -> None:
    """First place of the order: every clip is equally likely (chi-squared with 5 degrees)."""
    counts = np.zeros(6)
    for epoch in range(1200):
        counts[epoch_order((2, 2, 2), seed=0, epoch=epoch, buffer_clips=99)[0]] += 1
    assert ((counts - 200) ** 2 / 200).sum() < 20.5  # p = .001


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_ranks_share_out_every_epoch_exactly(world_size: int, batch_size: int) -> None:
    """16 clips x 12 epochs: any number of ranks and batch size here divides them."""
    num_batches = 16 * 12 // (world_size * batch_size)
    keys = [
        key
        for rank in range(world_size)
        for batch in _batches(
            rank=rank, world_size=world_size, batch_size=batch_size, num_batches=num_batches
        )
        for key in batch
    ]
    assert sorted(keys) == [SampleKey(clip, epoch) for clip in range(16) for epoch in range(12)]


def test_ranks_together_follow_the_order_of_one() -> None:
    alone = [key for batch in _batches(batch_size=6, num_batches=10) for key in batch]
    ranks = [_batches(rank=r, world_size=3, batch_size=2, num_batches=10) for r in range(3)]
    together = [key for parts in zip(*ranks, strict=True) for part in parts for key in part]
    assert together == alone


@pytest.mark.parametrize("first", [1, 3, 7])
def test_resumed_order_goes_on_where_it_stopped(first: int) -> None:
    whole = _batches(batch_size=3, num_batches=12)
    assert _batches(batch_size=3, num_batches=12 - first, first_batch=first) == whole[first:]


@pytest.mark.parametrize("world_size", [1, 2, 5])
def test_every_clip_and_view_is_evaluated_on_exactly_one_rank(world_size: int) -> None:
    ranks = [keys_of_rank(7, num_views=3, rank=r, world_size=world_size) for r in range(world_size)]
    assert sorted(key for keys in ranks for key in keys) == [
        SampleKey(clip, 0, view) for clip in range(7) for view in range(3)
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shard_sizes": ()}, "shards must hold at least one clip, got none"),
        ({"batch_size": 0}, "batch_size must be >= 1, got 0"),
    ],
)
def test_nothing_to_share_out_is_refused(options: dict[str, object], message: str) -> None:
    values: dict[str, object] = {"shard_sizes": SIZES, "batch_size": 1, "num_batches": 1, **options}
    sizes = values.pop("shard_sizes")
    with pytest.raises(ConfigError, match=message):
        ShuffledBatches(sizes, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("rank", [-1, 2])
def test_rank_out_of_range_is_refused(rank: int) -> None:
    with pytest.raises(ConfigError, match=f"rank must be >= 0 and < 2, got {rank}"):
        OrderConfig(rank=rank, world_size=2)
