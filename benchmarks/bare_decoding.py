"""Processes that do nothing but decode JPEGs: what a loader is measured against."""

import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Literal, Self

import cv2
import numpy as np
import simplejpeg

Decoder = Literal["simplejpeg", "opencv"]
"""The one that the loader uses, or `cv2.imdecode`."""


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

    def decode_all(self, decoder: Decoder) -> float:
        """Decode every JPEG once, all processes at the same time; return their CPU seconds."""
        for pipe in self._pipes:
            pipe.send(decoder)
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
    colors = [_colors_of(jpeg) for jpeg in images]
    while decoder := pipe.recv():
        start = time.process_time()
        if decoder == "opencv":
            for jpeg in images:
                cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)
        else:
            for jpeg, color in zip(images, colors, strict=True):
                simplejpeg.decode_jpeg(jpeg, color)
        pipe.send(time.process_time() - start)


def _colors_of(jpeg: bytes) -> str:
    """What the image is decoded to."""
    return "GRAY" if simplejpeg.decode_jpeg_header(jpeg)[2] == "Gray" else "RGB"
