"""Processes that do nothing but decode JPEGs: what a loader is measured against."""

import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

import cv2
import numpy as np


class BareDecoders:
    """Processes with a share of the JPEGs each, held in memory; pixels are thrown away.

    Args:
        shares: JPEGs of each process.
    """

    def __init__(self, shares: Sequence[Sequence[bytes]]) -> None:
        context = multiprocessing.get_context("forkserver")
        self._pipes: list[Connection] = []
        self._processes = []
        for share in shares:
            ours, theirs = context.Pipe()
            process = context.Process(target=_decode_on_demand, args=(theirs,), daemon=True)
            process.start()
            ours.send(list(share))
            self._pipes.append(ours)
            self._processes.append(process)

    def decode_all(self) -> float:
        """Decode every JPEG once, all processes at the same time; return their CPU seconds."""
        for pipe in self._pipes:
            pipe.send("decode")
        return sum(pipe.recv() for pipe in self._pipes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.send("")
            process.join()


def _decode_on_demand(pipe: Connection) -> None:
    """Decode all JPEGs as often as told; answer with the CPU seconds."""
    cv2.setNumThreads(0)
    images: list[bytes] = pipe.recv()
    while pipe.recv():
        start = time.process_time()
        for jpeg in images:
            cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)
        pipe.send(time.process_time() - start)
