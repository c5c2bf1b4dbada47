"""Loader processes: each decodes with one thread, into memory that is used again and again."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, cast

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from perfnet.data.collate import ClipBatch, collate_clips
from perfnet.data.pixel_memory import empty_pixels
from perfnet.data.shard_dataset import ClipSample, OnCorrupt, SampleKey, ShardDataset
from perfnet.modality import Modality
from schemas.errors import ShardError

LOGGER = logging.getLogger("perfnet_train")

_PREFETCH = 2  # batches that a loader process works ahead


def start_worker(worker: int) -> None:  # noqa: ARG001 - torch calls it with the worker's number
    """Keep libraries from starting threads of their own: the workers are the parallelism."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def load_batches(
    dataset: ShardDataset,
    batches: Iterable[Sequence[SampleKey]],
    *,
    workers: int,
    on_corrupt: OnCorrupt = "error",
    pin_memory: bool = False,
) -> Iterator[ClipBatch]:
    """Yield batches in order, also one without a clip that can be read: it holds no stream.

    The pixels of a batch stay as they are only until the next one is asked for: their memory is
    filled again, because new memory for every batch costs time. The random numbers of this process
    stay untouched.

    Args:
        dataset: With `on_corrupt="skip"`, so that loader processes hand errors over as text.
        batches: Keys of each batch; none may be larger than the first.
        workers: Loader processes; 0 = load in this process.
        on_corrupt: What happens to a record that cannot be read.
        pin_memory: Put batches where a GPU copies them from fastest.

    Raises:
        ShardError: If a record cannot be read and `on_corrupt="error"`.
        ValueError: If a batch is larger than the first one.
    """
    remaining = iter(batches)
    first = next(remaining, None)
    if first is None:
        return
    slots = _Slots(
        dataset, num_slots=workers * _PREFETCH + 1, batch_size=len(first), workers=workers
    )
    sampler: Any = slots.places(chain([first], remaining))  # any iterable will do
    loader = DataLoader(
        slots,
        batch_sampler=sampler,
        num_workers=workers,
        prefetch_factor=_PREFETCH if workers else None,
        collate_fn=_as_loaded,
        worker_init_fn=start_worker,
        multiprocessing_context="forkserver" if workers else None,
        generator=torch.Generator(),
    )
    for slot, samples in loader:
        batch = collate_clips(samples)
        report_corrupt(batch, on_corrupt)
        if batch["clip_id"]:
            batch = slots.with_pixels(batch, slot, samples)
        yield _pinned(batch) if pin_memory else batch


def _pinned(batch: ClipBatch) -> ClipBatch:
    """The batch in memory of its own from which a GPU copies while the next one is loaded."""
    values = {
        name: value.pin_memory() if isinstance(value, torch.Tensor) else value
        for name, value in batch.items()
    }
    return cast("ClipBatch", values)


class _Place(NamedTuple):
    """Where a batch is to be loaded."""

    slot: int
    keys: Sequence[SampleKey]


class _Slots(Dataset[ClipSample]):
    """Memory for batches, shared with the loader processes, one after the other in turn.

    Batch n is asked for when batch n - (num_slots - 1) is handed out, so the one before that,
    whose slot it fills, has been given up.
    """

    def __init__(
        self, dataset: ShardDataset, *, num_slots: int, batch_size: int, workers: int
    ) -> None:
        self._dataset = dataset
        self._num_slots, self._batch_size = num_slots, batch_size
        self._streams = {
            name: empty_pixels((num_slots, *shape), shared=workers > 0)
            for name, shape in dataset.batch_shapes(batch_size).items()
        }

    def places(self, batches: Iterable[Sequence[SampleKey]]) -> Iterator[_Place]:
        """Yield where each batch is to be loaded."""
        for number, keys in enumerate(batches):
            if len(keys) > self._batch_size:
                size = self._batch_size
                raise ValueError(f"batch must be no larger than the first, {size}, got {len(keys)}")
            yield _Place(number % self._num_slots, keys)

    def __getitems__(self, place: _Place) -> tuple[int, list[ClipSample]]:
        """Load a batch."""
        streams = self._rows(place.slot, slice(0, len(place.keys)))
        return place.slot, self._dataset.load_into(place.keys, streams)

    def with_pixels(self, batch: ClipBatch, slot: int, samples: Sequence[ClipSample]) -> ClipBatch:
        """Return the batch of samples with the streams of those that could be read."""
        rows: slice | list[int] = slice(0, len(samples))
        if batch["corrupt"]:
            rows = [row for row, sample in enumerate(samples) if "corrupt" not in sample]
        return cast("ClipBatch", {**batch, **self._rows(slot, rows)})

    def _rows(self, slot: int, rows: slice | list[int]) -> dict[Modality, torch.Tensor]:
        return {name: stream[slot, rows] for name, stream in self._streams.items()}


def _as_loaded(loaded: tuple[int, list[ClipSample]]) -> tuple[int, list[ClipSample]]:
    """Nothing to do: tensors, even small ones, would cost a file handle each on their way."""
    return loaded


def report_corrupt(batch: ClipBatch, on_corrupt: OnCorrupt) -> None:
    """Log what was left out of a batch.

    Raises:
        ShardError: If anything was and `on_corrupt="error"`.
    """
    for text in batch["corrupt"]:
        if on_corrupt == "error":
            raise ShardError(
                f"{text}; run `perfnet-prep verify` and the same `perfnet-prep build` again, or "
                "leave such clips out with --on-corrupt skip"
            )
        LOGGER.warning("left out: %s", text)
