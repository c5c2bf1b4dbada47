"""Choice of the flow engine: one function from consecutive grey frames to the flow between them."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from flow.opencv_engines import dis_flow, farneback_flow, opencv_tvl1_flow
from flow.quantize import DEFAULT_BOUND_PX
from flow.tvl1 import Tvl1Config, tvl1_flow
from schemas.checks import check_array
from schemas.errors import ConfigError

GrayFrames = npt.NDArray[np.uint8]
Flow = npt.NDArray[np.float32]

FlowEngine = Callable[[GrayFrames], Flow]
"""Takes consecutive grey frames, uint8 [T, H, W] with T >= 1, not modified; gives the flow of each
to the next, float32 [T - 1, H, W, 2], (dx, dy) in pixels."""

FlowEngineName = Literal["tvl1", "tvl1-gpu", "opencv", "dis", "farneback"]
"""tvl1 = our TV-L1 (`flow.tvl1.*`), two orders of magnitude faster than OpenCV's; tvl1-gpu = the
same on a CUDA device; opencv = TV-L1 of OpenCV with its defaults, the reference; dis, farneback =
other methods of OpenCV, as they are, neither is TV-L1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowConfig:
    """How flow is computed and stored."""

    bound_px: float = DEFAULT_BOUND_PX
    """Displacements beyond +-bound_px are clipped before rounding to 8 bit."""
    tvl1: Tvl1Config = field(default_factory=Tvl1Config)
    """Parameters of the engines tvl1 and tvl1-gpu."""

    def __post_init__(self) -> None:
        if not self.bound_px > 0:
            raise ConfigError(f"flow.bound_px must be > 0, got {self.bound_px}")


def make_flow_engine(name: FlowEngineName, config: FlowConfig) -> FlowEngine:
    """Return the function that computes the flow of consecutive frames.

    Args:
        name: Which engine.
        config: Its parameters.

    Returns:
        The engine; any number of threads may call it. It raises ValueError for frames that are
        not uint8 [T, H, W], or too small.

    Raises:
        ConfigError: If tvl1-gpu is asked for without torch and triton, or in mode exact.
    """
    if name == "tvl1-gpu":
        return _make_gpu_engine(config.tvl1)
    pair_flows: dict[str, Callable[[GrayFrames, GrayFrames], Flow]] = {
        "tvl1": partial(tvl1_flow, config=config.tvl1),
        "opencv": opencv_tvl1_flow,
        "dis": dis_flow,
        "farneback": farneback_flow,
    }
    return partial(_flow_of_pairs, pair_flow=pair_flows[name])


def _flow_of_pairs(
    frames: GrayFrames, *, pair_flow: Callable[[GrayFrames, GrayFrames], Flow]
) -> Flow:
    _check_frames(frames)
    flow = np.empty((len(frames) - 1, *frames.shape[1:], 2), np.float32)
    for index in range(len(flow)):
        flow[index] = pair_flow(frames[index], frames[index + 1])
    return flow


def _make_gpu_engine(config: Tvl1Config) -> FlowEngine:
    try:
        gpu_clip_flow = importlib.import_module("flow.tvl1_gpu").gpu_clip_flow
    except ImportError as error:
        raise ConfigError(
            f"flow_engine tvl1-gpu must have torch and triton, got none ({error}); "
            "run: pip install torch triton, or choose flow_engine tvl1"
        ) from error
    if config.mode == "exact":
        raise ConfigError("flow.tvl1.mode must be quality or fast for tvl1-gpu, got exact")

    def flow_of_clip(frames: GrayFrames) -> Flow:
        _check_frames(frames)
        flow: Flow = gpu_clip_flow(frames, config=config)[:-1]
        return flow

    return flow_of_clip


def _check_frames(frames: GrayFrames) -> None:
    check_array("frames", frames, dtype=np.uint8, axes="T H W")
    if len(frames) == 0:
        raise ValueError("frames must have at least one frame, got 0")
