"""TV-L1 optical flow between grey frames.

Reference: Zach, Pock, Bischof 2007, "A Duality Based Approach for Realtime TV-L1 Optical Flow";
the defaults are those of OpenCV's DualTVL1, the flow of I3D and its successors.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from schemas.checks import check_array
from schemas.errors import ConfigError

_MIN_SIDE_PX = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Tvl1Config:
    """Parameters of TV-L1; symbols as in Zach et al. 2007."""

    time_step: float = 0.25
    """Step of the dual ascent (tau). At most 0.25, beyond which it diverges."""
    attachment: float = 0.15
    """Weight of the data term (lambda), for grey values 0..255."""
    tightness: float = 0.3
    """Coupling between flow and its auxiliary field (theta)."""
    num_scales: int = 5
    """Levels of the image pyramid."""
    scale_step: float = 0.8
    """Size ratio of neighbouring levels, above 0 and below 1."""
    num_warps: int = 5
    """Warps per level."""
    num_outer: int = 10
    """Outer iterations per warp, each with one median filtering."""
    num_inner: int = 30
    """Inner iterations per outer one."""
    epsilon: float = 0.01
    """Inner iterations stop when the mean change falls under this many pixels."""
    median_px: int = 5
    """Side of the median filter: 1 (none), 3 or 5."""

    def __post_init__(self) -> None:
        if not 0 < self.time_step <= 0.25:
            raise ConfigError(f"time_step must be > 0 and <= 0.25, got {self.time_step}")
        if not 0 < self.scale_step < 1:
            raise ConfigError(f"scale_step must be > 0 and < 1, got {self.scale_step}")
        if self.median_px not in (1, 3, 5):
            raise ConfigError(f"median_px must be 1, 3 or 5, got {self.median_px}")
        for name in ("attachment", "tightness", "epsilon"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be > 0, got {getattr(self, name)}")
        for name in ("num_scales", "num_warps", "num_outer", "num_inner"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be >= 1, got {getattr(self, name)}")


def tvl1_flow(
    frame0: npt.NDArray[np.uint8],
    frame1: npt.NDArray[np.uint8],
    *,
    config: Tvl1Config,
) -> npt.NDArray[np.float32]:
    """Return the flow from frame0 to frame1, computed by OpenCV.

    Args:
        frame0: uint8 [H, W] grey, both sides >= 8. Not modified.
        frame1: uint8 [H, W] grey, of the same size. Not modified.
        config: Parameters.

    Returns:
        float32 [H, W, 2], (dx, dy) in pixels: frame0(x) shows what frame1(x + flow(x)) shows.
        Identical frames give exactly zero.

    Raises:
        ValueError: If the frames differ in size, are smaller than 8x8 or not uint8.
    """
    check_frame_pair(frame0, frame1)
    if np.array_equal(frame0, frame1):
        return np.zeros((*frame0.shape, 2), np.float32)
    solver = cv2.optflow.DualTVL1OpticalFlow_create(
        tau=config.time_step,
        lambda_=config.attachment,
        theta=config.tightness,
        nscales=config.num_scales,
        warps=config.num_warps,
        epsilon=config.epsilon,
        innnerIterations=config.num_inner,
        outerIterations=config.num_outer,
        scaleStep=config.scale_step,
        medianFiltering=config.median_px,
    )
    flow: npt.NDArray[np.float32] = solver.calc(frame0, frame1, None)
    return flow


def check_frame_pair(
    frame0: npt.NDArray[np.uint8],
    frame1: npt.NDArray[np.uint8],
    *,
    min_side_px: int = _MIN_SIDE_PX,
) -> None:
    """Raise ValueError unless both are uint8 [H, W] of one size, no side too short."""
    check_array("frame0", frame0, dtype=np.uint8, axes="H W")
    height, width = frame0.shape
    if min(height, width) < min_side_px:
        least = f"{min_side_px}x{min_side_px}"
        raise ValueError(f"frame0 must be at least {least} pixels, got {width}x{height}")
    check_array("frame1", frame1, dtype=np.uint8, axes="H W", H=height, W=width)
