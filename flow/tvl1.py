"""TV-L1 optical flow between grey frames.

References:
    Zach, Pock, Bischof 2007, "A Duality Based Approach for Realtime TV-L1 Optical Flow".
    Sanchez, Meinhardt-Llopis, Facciolo 2013, "TV-L1 Optical Flow Estimation", IPOL.
    `flow.tvl1_plain` maps their symbols to ours.
"""

import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from flow.tvl1_schedule import PRESETS, Schedule, Tvl1Mode
from schemas.checks import check_array
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from flow.tvl1_solver import Solver

_MIN_SIDE_PX = 8
_MAX_GRAY = 255.0
_KEPT_SIZES = 2
_MAX_TIME_STEP = 0.25
_LEAST_SETTING = 1e-3
_MOST_SETTING = 1e3


@dataclass(frozen=True, kw_only=True, slots=True)
class Tvl1Config:
    """Parameters of TV-L1; None = as the mode has it. Symbols as in Zach et al. 2007."""

    mode: Tvl1Mode = "quality"
    """exact = OpenCV's DualTVL1 reproduced; quality = lower energy, several times faster;
    fast = about OpenCV's energy, faster still."""
    attachment: float = 0.15
    """Weight of the data term (lambda), for grey values 0..255, 0.001 to 1000. Lower = smoother."""
    time_step: float = 0.25
    """Step of the dual ascent (tau), 0.001 to 0.25, beyond which it diverges."""
    tightness: float | None = None
    """Coupling between flow and its auxiliary field (theta), the same in all warps, 0.001 to
    1000."""
    num_scales: int | None = None
    """Levels of the image pyramid, at most; small frames have fewer."""
    num_warps: int | None = None
    """Warps per level."""
    num_inner: int | None = None
    """Iterations per warp (exact: per block of at most ten, until the flow settles)."""

    def __post_init__(self) -> None:
        if self.mode not in PRESETS:
            raise ConfigError(f"mode must be one of {', '.join(PRESETS)}, got {self.mode!r}")
        _check_within("time_step", self.time_step, most=_MAX_TIME_STEP)
        _check_within("attachment", self.attachment, most=_MOST_SETTING)
        if self.tightness is not None:
            _check_within("tightness", self.tightness, most=_MOST_SETTING)
        for name in ("num_scales", "num_warps", "num_inner"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ConfigError(f"{name} must be a whole number >= 1, got {value}")


def _check_within(name: str, value: float, *, most: float) -> None:
    """Outside these bounds nothing useful comes out, far outside float32 overflows."""
    if not _LEAST_SETTING <= value <= most:
        raise ConfigError(f"{name} must be >= {_LEAST_SETTING:g} and <= {most:g}, got {value}")


def tvl1_flow(
    frame0: npt.NDArray[Any], frame1: npt.NDArray[Any], *, config: Tvl1Config
) -> npt.NDArray[np.float32]:
    """Return the flow from frame0 to frame1.

    The first call in a process loads the kernels; the first on a machine compiles them.

    Args:
        frame0: uint8 or float32 [H, W] in native byte order, grey values 0..255, both sides
            >= 8; need not be contiguous. Not modified.
        frame1: The same size and dtype. Not modified.
        config: Parameters.

    Returns:
        float32 [H, W, 2], (dx, dy) in pixels: frame0(x) shows what frame1(x + flow(x)) shows.
        Identical frames give exactly zero.

    Raises:
        ValueError: If the frames differ in size or dtype, are smaller than 8x8, of another dtype,
            not finite, or not within 0..255.
    """
    _check_gray_pair(frame0, frame1)
    if np.array_equal(frame0, frame1):
        return np.zeros((*frame0.shape, 2), np.float32)
    height, width = frame0.shape
    return _solvers.get((height, width), make_schedule(config)).solve(frame0, frame1)


def tvl1_clip_flow(
    frames_gray: npt.NDArray[Any], *, config: Tvl1Config, num_threads: int = 1
) -> npt.NDArray[np.float32]:
    """Return as many flow fields as frames.

    Args:
        frames_gray: uint8 or float32 [T, H, W], T >= 1, as for `tvl1_flow`. Not modified.
        config: Parameters.
        num_threads: Pairs worked on at a time. Does not change the result.

    Returns:
        float32 [T, H, W, 2], (dx, dy) in pixels from frame t to t + 1; the last repeats its
        predecessor; a single frame has zero flow.

    Raises:
        ValueError: If frames_gray is not [T, H, W] with T >= 1, if num_threads < 1, or as
            `tvl1_flow`.
    """
    _check_gray_array("frames_gray", frames_gray, axes="T H W")
    if len(frames_gray) == 0:
        raise ValueError("frames_gray must have at least one frame, got 0")
    if num_threads < 1:
        raise ValueError(f"num_threads must be >= 1, got {num_threads}")
    _check_gray("frames_gray", frames_gray)
    flow = np.zeros((*frames_gray.shape, 2), np.float32)

    def solve(index: int) -> None:
        flow[index] = tvl1_flow(frames_gray[index], frames_gray[index + 1], config=config)

    pairs = range(len(frames_gray) - 1)
    if num_threads == 1:
        for index in pairs:
            solve(index)
    else:
        with ThreadPoolExecutor(num_threads) as pool:
            list(pool.map(solve, pairs))
    if len(frames_gray) > 1:
        flow[-1] = flow[-2]
    return flow


def make_schedule(config: Tvl1Config) -> Schedule:
    """Return what the solver does under these parameters."""
    preset = PRESETS[config.mode]
    return replace(
        preset,
        time_step=config.time_step,
        attachment=config.attachment,
        tightness=preset.tightness if config.tightness is None else (config.tightness,),
        num_scales=config.num_scales or preset.num_scales,
        num_warps=config.num_warps or preset.num_warps,
        num_inner=config.num_inner or preset.num_inner,
    )


def check_frame_pair(
    frame0: npt.NDArray[np.uint8],
    frame1: npt.NDArray[np.uint8],
    *,
    min_side_px: int = _MIN_SIDE_PX,
) -> None:
    """Raise ValueError unless both are uint8 [H, W] of one size, no side too short."""
    check_array("frame0", frame0, dtype=np.uint8, axes="H W")
    _check_size_and_partner(frame0, frame1, min_side_px=min_side_px)


def _check_gray_array(name: str, array: npt.NDArray[Any], *, axes: str) -> None:
    kind = getattr(array, "dtype", np.dtype(np.uint8))
    if kind not in (np.uint8, np.float32):
        order = "" if kind.isnative else f" in byte order {kind.byteorder!r}"
        wanted = f"uint8 or float32 [{', '.join(axes.split())}] in native byte order"
        raise ValueError(f"{name} must be {wanted}, got {kind.name} {list(array.shape)}{order}")
    check_array(name, array, dtype=kind, axes=axes)


def _check_gray_pair(frame0: npt.NDArray[Any], frame1: npt.NDArray[Any]) -> None:
    _check_gray_array("frame0", frame0, axes="H W")
    _check_size_and_partner(frame0, frame1, min_side_px=_MIN_SIDE_PX)
    _check_gray("frame0", frame0)
    _check_gray("frame1", frame1)


def _check_size_and_partner(
    frame0: npt.NDArray[Any], frame1: npt.NDArray[Any], *, min_side_px: int
) -> None:
    height, width = frame0.shape
    if min(height, width) < min_side_px:
        least = f"{min_side_px}x{min_side_px}"
        raise ValueError(f"frame0 must be at least {least} pixels, got {width}x{height}")
    check_array("frame1", frame1, dtype=frame0.dtype, axes="H W", H=height, W=width)


def _check_gray(name: str, values: npt.NDArray[Any]) -> None:
    if values.dtype == np.uint8 or values.size == 0:
        return
    least, most = float(values.min()), float(values.max())
    if not np.isfinite([least, most]).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    if least < 0 or most > _MAX_GRAY:
        raise ValueError(f"{name} must be within 0..255, got {least:g}..{most:g}")


class _Solvers(threading.local):
    """The calling thread's solvers, with their buffers, for the sizes it used last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[tuple[int, int], Schedule], Solver] = OrderedDict()

    def get(self, size: tuple[int, int], schedule: Schedule) -> "Solver":
        from flow.tvl1_solver import Solver  # numba loads when the first flow is wanted

        key = (size, schedule)
        solver = self._kept.pop(key, None) or Solver(size, schedule)
        self._kept[key] = solver
        while len(self._kept) > _KEPT_SIZES:
            self._kept.popitem(last=False)
        return solver


_solvers = _Solvers()
