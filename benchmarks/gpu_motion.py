"""Persistence of appearance (PA) and TV-L1 on a GPU: frames per second."""

import time

import cv2
import numpy as np
import numpy.typing as npt
import torch

from flow.pa import default_weights
from flow.tvl1 import Tvl1Config
from flow.tvl1_gpu import gpu_clip_flow

BATCH = 64
"""Pairs on the device at a time."""

_EPSILON = 1e-6
_ROUNDS = 20


def pa_layer(frames_tchw: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the PA of each frame and its next, [T - 1, H, W], as a network computes it.

    Args:
        frames_tchw: float [T, 3, H, W], RGB from 0 to 1.
        weights: float [8, 3, 7, 7].
    """
    features = torch.nn.functional.conv2d(frames_tchw, weights, padding=3)
    return torch.linalg.vector_norm(features[:-1] - features[1:] + _EPSILON, dim=1)


def measure_gpu(rgb: npt.NDArray[np.uint8], *, device: str = "cuda") -> dict[str, float]:
    """Return frames per second by method, measured in turn.

    Args:
        rgb: uint8 [2, H, W, 3]; the clip goes back and forth between them.
        device: A CUDA device.
    """
    clip = rgb[np.arange(BATCH + 1) % 2]
    gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip])
    weights = torch.from_numpy(default_weights()).to(device)
    codes = torch.from_numpy(clip).pin_memory()
    resident = _to_float(codes, device)
    methods = {
        "PA, frames on the device": lambda: pa_layer(resident, weights),
        "PA, from host to host": lambda: pa_layer(_to_float(codes, device), weights).cpu(),
        "TV-L1 quality, from host to host": lambda: _flow(gray, "quality", device),
        "TV-L1 fast, from host to host": lambda: _flow(gray, "fast", device),
    }
    seconds = dict.fromkeys(methods, 0.0)
    with torch.inference_mode():
        for method in methods.values():
            method()  # compiles
        for _ in range(_ROUNDS):
            for name, method in methods.items():
                torch.cuda.synchronize(device)
                start = time.perf_counter()
                method()
                torch.cuda.synchronize(device)
                seconds[name] += time.perf_counter() - start
    return {name: _ROUNDS * BATCH / each for name, each in seconds.items()}


def _to_float(codes_thwc: torch.Tensor, device: str) -> torch.Tensor:
    on_device = codes_thwc.to(device, non_blocking=True)
    return on_device.permute(0, 3, 1, 2).float().div_(255)


def _flow(gray: npt.NDArray[np.uint8], mode: str, device: str) -> object:
    config = Tvl1Config(mode=mode)  # type: ignore[arg-type]
    return gpu_clip_flow(gray, config=config, device=device, pairs_per_batch=BATCH)
