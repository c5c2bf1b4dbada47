"""Loader processes: each decodes with one thread."""

import cv2
import torch


def start_worker(worker: int) -> None:  # noqa: ARG001 - torch calls it with the worker's number
    """Keep libraries from starting threads of their own: the workers are the parallelism."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
