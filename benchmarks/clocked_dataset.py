"""A data set that writes down how much CPU time its process had used when each batch began."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import get_worker_info

from perfnet import ClipSample, SampleKey, ShardDataset
from perfnet.modality import Modality


class ClockedDataset(ShardDataset):
    """What a batch costs is the time from its beginning to that of the next one in its process.

    So everything counts that the process does for a batch, sending it off too, and nothing has to
    be guessed from outside, however long the process waits for a core.

    Args:
        workers: Loader processes.
        num_batches: Batches that each of them may begin.
        arguments: As for `ShardDataset`.
        options: As for `ShardDataset`.
    """

    def __init__(self, *arguments: Any, workers: int, num_batches: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._clocks = torch.full((workers, num_batches), torch.nan, dtype=torch.float64)
        self._clocks.share_memory_()
        self._begun = 0

    def load_into(
        self, keys: Sequence[int | SampleKey], streams: Mapping[Modality, torch.Tensor]
    ) -> list[ClipSample]:
        """Write the clock down and load a batch."""
        worker = get_worker_info()
        if worker is not None:
            self._clocks[worker.id, self._begun] = time.process_time()
            self._begun += 1
        return super().load_into(keys, streams)

    def cpu_seconds(self, first: int, last: int) -> float:
        """Return the CPU time of batches first to last - 1 of every process.

        Raises:
            ValueError: If one of them has not begun the batch `last`.
        """
        spent = float((self._clocks[:, last] - self._clocks[:, first]).sum())
        if spent != spent:
            raise ValueError(f"all processes must have begun batch {last}, got others")
        return spent
