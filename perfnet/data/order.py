"""Which clip comes when: a seeded, endless order that ranks share out exactly."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from perfnet.data.shard_dataset import SampleKey
from schemas.errors import ConfigError


def epoch_order(
    shard_sizes: Sequence[int], *, seed: int, epoch: int, buffer_clips: int
) -> npt.NDArray[np.int64]:
    """Return every clip once: shards in random order, their clips mixed by a buffer.

    Args:
        shard_sizes: Clips of each shard.
        seed: Seed of the training run.
        epoch: Each has an order of its own.
        buffer_clips: A clip is drawn from the next so many of the order of the shards.

    Returns:
        int64 [number of clips]: a permutation.
    """
    rng = np.random.default_rng((seed, epoch))
    starts = np.concatenate(([0], np.cumsum(shard_sizes)))
    shards = rng.permutation(len(shard_sizes))
    order = [np.arange(starts[shard], starts[shard + 1]) for shard in shards]
    clips = np.concatenate([np.empty(0, np.int64), *order])
    for here in range(len(clips)):  # swap with one of the next ones: each is drawn once
        there = int(rng.integers(here, min(here + buffer_clips, len(clips))))
        clips[here], clips[there] = clips[there], clips[here]
    return clips


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderConfig:
    """How clips are shuffled and shared out."""

    seed: int = 0
    buffer_clips: int = 4096
    """Clips that are mixed beyond the order of the shards."""
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if self.buffer_clips < 1:
            raise ConfigError(f"buffer_clips must be >= 1, got {self.buffer_clips}")
        if not 0 <= self.rank < self.world_size:
            raise ConfigError(f"rank must be >= 0 and < {self.world_size}, got {self.rank}")


class ShuffledBatches(Sampler[list[SampleKey]]):
    """Batches of one rank, from any point of the endless order on.

    The epochs follow each other in one stream. Batch n of all ranks together is the next
    `batch_size * world_size` clips of it, so every epoch gives every clip exactly once,
    whatever the number of ranks and of loader workers, and a run resumes at any batch.

    Args:
        shard_sizes: Clips of each shard, as `ShardDataset.shard_sizes`.
        batch_size: Clips of a batch of one rank.
        first_batch: Batches to leave out, of a run that is resumed.
        num_batches: Batches to give.
        config: Seed, buffer and rank.

    Raises:
        ConfigError: If there is no clip or a number is out of range.
    """

    def __init__(
        self,
        shard_sizes: Sequence[int],
        *,
        batch_size: int,
        num_batches: int,
        first_batch: int = 0,
        config: OrderConfig | None = None,
    ) -> None:
        if not sum(shard_sizes):
            raise ConfigError("shards must hold at least one clip, got none")
        if batch_size < 1:
            raise ConfigError(f"batch_size must be >= 1, got {batch_size}")
        self._shard_sizes = tuple(shard_sizes)
        self._batch_size = batch_size
        self._num_batches = num_batches
        self._first_batch = first_batch
        self._config = config or OrderConfig()
        self._order_of = lru_cache(maxsize=2)(self._compute_order)

    def __len__(self) -> int:
        """Return the number of batches."""
        return self._num_batches

    def __iter__(self) -> Iterator[list[SampleKey]]:
        """Yield the keys of each batch."""
        size, config = self._batch_size, self._config
        for batch in range(self._first_batch, self._first_batch + self._num_batches):
            start = (batch * config.world_size + config.rank) * size
            yield [self._key(place) for place in range(start, start + size)]

    def _key(self, place: int) -> SampleKey:
        epoch, place = divmod(place, sum(self._shard_sizes))
        return SampleKey(clip=int(self._order_of(epoch)[place]), epoch=epoch)

    def _compute_order(self, epoch: int) -> npt.NDArray[np.int64]:
        return epoch_order(
            self._shard_sizes,
            seed=self._config.seed,
            epoch=epoch,
            buffer_clips=self._config.buffer_clips,
        )


def keys_of_rank(
    num_clips: int, *, num_views: int = 1, rank: int = 0, world_size: int = 1
) -> list[SampleKey]:
    """Return the keys that a rank evaluates: every clip and view on exactly one rank.

    Args:
        num_clips: Clips of the data set.
        num_views: Views of each clip; those of a clip stay together.
        rank: This process.
        world_size: Number of processes.
    """
    return [
        SampleKey(clip=clip, view=view)
        for clip in range(rank, num_clips, world_size)
        for view in range(num_views)
    ]
