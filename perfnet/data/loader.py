"""Loader processes: each decodes with one thread."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import cv2
import torch
from torch.utils.data import DataLoader

from perfnet.data.collate import ClipBatch, collate_clips
from perfnet.data.shard_dataset import OnCorrupt, SampleKey, ShardDataset
from schemas.errors import ShardError

LOGGER = logging.getLogger("perfnet_train")


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

    The random numbers of this process stay untouched.

    Args:
        dataset: With `on_corrupt="skip"`, so that loader processes hand errors over as text.
        batches: Keys of each batch.
        workers: Loader processes; 0 = load in this process.
        on_corrupt: What happens to a record that cannot be read.
        pin_memory: Put batches where a GPU copies them from fastest.

    Raises:
        ShardError: If a record cannot be read and `on_corrupt="error"`.
    """
    sampler: Any = batches  # any iterable of lists will do
    loader = DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate_clips,
        worker_init_fn=start_worker,
        pin_memory=pin_memory,
        multiprocessing_context="forkserver" if workers else None,
        generator=torch.Generator(),
    )
    for batch in loader:
        report_corrupt(batch, on_corrupt)
        yield cast("ClipBatch", batch)


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
