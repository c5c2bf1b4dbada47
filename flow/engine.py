"""Choice of the flow engine: one function from a pair of grey frames to flow."""

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

FlowEngine = Callable[[npt.NDArray[np.uint8], npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
"""Takes two uint8 [H, W] grey frames, gives float32 [H, W, 2], (dx, dy) in pixels."""

FlowEngineName = Literal["tvl1", "opencv", "dis", "farneback"]
"""tvl1 = our TV-L1 (`flow.tvl1.*`), two orders of magnitude faster than OpenCV's; opencv = TV-L1
of OpenCV with its defaults, the reference; dis, farneback = other methods of OpenCV, as they are,
neither is TV-L1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowConfig:
    """How flow is computed and stored."""

    bound_px: float = DEFAULT_BOUND_PX
    """Displacements beyond +-bound_px are clipped before rounding to 8 bit."""
    tvl1: Tvl1Config = field(default_factory=Tvl1Config)
    """Parameters of engine tvl1."""

    def __post_init__(self) -> None:
        if not self.bound_px > 0:
            raise ConfigError(f"flow.bound_px must be > 0, got {self.bound_px}")


def make_flow_engine(name: FlowEngineName, config: FlowConfig) -> FlowEngine:
    """Return the function that computes the flow of one pair.

    Args:
        name: Which engine.
        config: Its parameters.

    Returns:
        The engine; any number of threads may call it.
    """
    engines: dict[FlowEngineName, FlowEngine] = {
        "tvl1": partial(tvl1_flow, config=config.tvl1),
        "opencv": opencv_tvl1_flow,
        "dis": dis_flow,
        "farneback": farneback_flow,
    }
    return engines[name]


def clip_flow(frames_gray: npt.NDArray[np.uint8], *, engine: FlowEngine) -> npt.NDArray[np.float32]:
    """Return as many flow fields as frames.

    Args:
        frames_gray: uint8 [T, H, W], T >= 1. Not modified.
        engine: Flow of one pair.

    Returns:
        float32 [T, H, W, 2], (dx, dy) in pixels from frame t to t + 1; the last repeats its
        predecessor; a single frame has zero flow.

    Raises:
        ValueError: If frames_gray is not uint8 [T, H, W] or T is 0.
    """
    check_array("frames_gray", frames_gray, dtype=np.uint8, axes="T H W")
    if len(frames_gray) == 0:
        raise ValueError("frames_gray must have at least one frame, got 0")
    flow = np.zeros((*frames_gray.shape, 2), np.float32)
    for index in range(len(frames_gray) - 1):
        flow[index] = engine(frames_gray[index], frames_gray[index + 1])
    if len(frames_gray) > 1:
        flow[-1] = flow[-2]
    return flow
