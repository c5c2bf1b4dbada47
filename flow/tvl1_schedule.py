"""What TV-L1 does how often in each mode."""

from dataclasses import dataclass
from typing import Literal

Tvl1Mode = Literal["exact", "quality", "fast"]
"""exact = the algorithm and schedule of OpenCV's DualTVL1, for parity; quality = lower energy in
a fraction of the iterations; fast = fewer still."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """What is done how often; symbols as in Zach et al. 2007."""

    time_step: float = 0.25
    """tau."""
    attachment: float = 0.15
    """lambda."""
    tightness: tuple[float, ...]
    """theta of each warp of the finest level; coarser levels use the first value."""
    num_scales: int
    num_warps: int
    num_inner: int
    num_outer: int = 1
    """Most blocks of num_inner iterations per warp, each after a median; 1 unless is_opencv."""
    epsilon: float = 0.0
    """Stop a warp when the mean change is at most this many pixels; only if is_opencv."""
    is_opencv: bool = False
    """Sample, filter, resize and stop as OpenCV does."""


PRESETS: dict[Tvl1Mode, Schedule] = {
    "exact": Schedule(
        tightness=(0.3,),
        num_scales=5,
        num_warps=5,
        num_inner=30,
        num_outer=10,
        epsilon=0.01,
        is_opencv=True,
    ),
    "quality": Schedule(
        tightness=(0.4, 0.3, 0.12),
        num_scales=4,
        num_warps=3,
        num_inner=15,
    ),
    "fast": Schedule(
        tightness=(0.35, 0.12),
        num_scales=4,
        num_warps=2,
        num_inner=12,
    ),
}
