"""One pyramid level, with its buffers, for either kind of kernels."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from flow import simd, tvl1_plain, tvl1_pyramid, tvl1_simd, tvl1_simd_median, tvl1_simd_warp
from flow.tvl1_pyramid import PAD, source_positions

Plane = npt.NDArray[np.float32]
Size = tuple[int, int]
"""(height, width)."""

_PAGE_BYTES = 4096
_LINE_BYTES = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelConfig:
    """What a level needs to know beyond its size; symbols as in Zach et al. 2007."""

    time_step: float
    """tau."""
    attachment: float
    """lambda."""
    is_opencv: bool
    """Sample, filter and resize as OpenCV does."""


class Level(Protocol):
    """State of one pyramid level: u, p and the linearisation, all in pixels of this level."""

    def set_images(self, image0: Plane, image1: Plane) -> None:
        """Take float32 [H, W] grey images."""

    def seed(self, coarse: Plane, scale: float, *, tightness: float) -> None:
        """Set u = scale * coarse flow [h, w, 2], resized; p = 0; theta = tightness."""

    def median(self, *, tightness: float) -> None:
        """Replace u by its 5x5 median; theta = tightness from here on."""

    def linearise(self) -> None:
        """Linearise rho around u (warp)."""

    def iterate(self, count: int) -> None:
        """Run a number of iterations."""

    def iterate_until(self, limit: float, count: int) -> float:
        """Iterate at most count times, until the sum of |u_new - u|^2 <= limit.

        Returns that sum, or any part of it that is above limit already.
        """

    def flow(self) -> Plane:
        """Return a new array of u, [H, W, 2]."""


def aligned_zeros(length: int, dtype: type[np.generic] = np.float32) -> npt.NDArray[Any]:
    """Return zeros [length] whose first byte starts a cache line, so that no register spans two."""
    size = np.dtype(dtype).itemsize
    spare = np.zeros(length + _LINE_BYTES // size, dtype)
    first = -spare.ctypes.data % _LINE_BYTES // size
    return spare[first : first + length]


def make_level(size: Size, coarse_size: Size, config: LevelConfig) -> Level:
    """Return a level with the fastest kernels this CPU can run."""
    level = SimdLevel if simd.HAS_SIMD else PlainLevel
    return level(size, coarse_size, config)


def _positions(size: Size, coarse_size: Size, *, is_opencv: bool) -> tuple[Plane, Plane]:
    """Where the rows and columns of a level lie in the next coarser one."""
    ratios = [c / f if is_opencv else 0.5 for f, c in zip(size, coarse_size, strict=True)]
    rows, columns = (
        source_positions(np.arange(length), coarse, ratio)
        for length, coarse, ratio in zip(size, coarse_size, ratios, strict=True)
    )
    return rows, columns


class _Padded:
    """Frame 1 with a border, and in OpenCV's way also its gradient."""

    def __init__(self, size: Size, *, is_opencv: bool) -> None:
        shape = (size[0] + 2 * PAD + 1, size[1] + 2 * PAD + 1)
        self._is_opencv = is_opencv
        self.planes = np.zeros((3 if is_opencv else 1, *shape), np.float32)

    def fill(self, image: Plane) -> None:
        if self._is_opencv:
            tvl1_pyramid.pad_zero_with_gradient(image, self.planes)
        else:
            tvl1_pyramid.pad_repeat(image, self.planes[0])


class PlainLevel:
    """A level on plain planes; runs anywhere and is what `SimdLevel` must agree with."""

    def __init__(self, size: Size, coarse_size: Size, config: LevelConfig) -> None:
        self._config = config
        self._rows, self._columns = _positions(size, coarse_size, is_opencv=config.is_opencv)
        self._padded = _Padded(size, is_opencv=config.is_opencv)
        self._image0 = np.zeros(size, np.float32)
        self._flow = np.zeros((2, *size), np.float32)
        self._filtered = np.zeros_like(self._flow)
        self._dual = np.zeros((2, 2, *size), np.float32)
        self._gradient = np.zeros((2, *size), np.float32)
        self._constant = np.zeros(size, np.float32)
        self._tightness = 1.0

    def set_images(self, image0: Plane, image1: Plane) -> None:
        """As in `Level`."""
        self._image0[:] = image0
        self._padded.fill(image1)

    def seed(self, coarse: Plane, scale: float, *, tightness: float) -> None:
        """As in `Level`."""
        self._tightness = tightness
        for component, resized in enumerate(self._flow):
            plane = np.ascontiguousarray(coarse[..., component])
            tvl1_pyramid.resize(plane, self._columns, self._rows, resized)
        self._flow *= np.float32(scale)
        self._dual[:] = 0

    def median(self, *, tightness: float) -> None:
        """As in `Level`."""
        self._tightness = tightness
        for plane, filtered in zip(self._flow, self._filtered, strict=True):
            tvl1_plain.median(plane, filtered)
        self._flow[:] = self._filtered

    def linearise(self) -> None:
        """As in `Level`."""
        into = (self._gradient, self._constant)
        if self._config.is_opencv:
            tvl1_plain.linearise_opencv(self._flow, self._image0, self._padded.planes, *into)
        else:
            tvl1_plain.linearise(self._flow, self._image0, self._padded.planes[0], *into)

    def iterate(self, count: int) -> None:
        """As in `Level`."""
        for _ in range(count):
            self._iterate_once()

    def iterate_until(self, limit: float, count: int) -> float:
        """As in `Level`."""
        change = np.inf
        for _ in range(count):
            change = self._iterate_once()
            if change <= limit:
                break
        return change

    def _iterate_once(self) -> float:
        values = (self._config.time_step, self._config.attachment, self._tightness)
        settings = tuple(np.float32(value) for value in values)
        change: float = tvl1_plain.primal_sweep(
            self._flow, self._dual, self._gradient, self._constant, settings
        )
        tvl1_plain.dual_sweep(self._flow, self._dual, settings)
        return change

    def flow(self) -> Plane:
        """As in `Level`."""
        return np.ascontiguousarray(self._flow.transpose(1, 2, 0))


class SimdLevel:
    """A level in the layout of `flow.tvl1_simd`."""

    def __init__(self, size: Size, coarse_size: Size, config: LevelConfig) -> None:
        height, width = size
        self._config = config
        blocks = -(-width // simd.LANES)
        stride = (blocks + 1) * tvl1_simd.BLOCK
        if stride * 4 % _PAGE_BYTES == 0:  # rows a page apart share few cache sets
            stride += tvl1_simd.BLOCK
        self._layout = (height, width, blocks, stride)
        self._state = aligned_zeros((height + 1) * stride)
        columns = (np.arange(simd.LANES) * blocks + np.arange(blocks)[:, None]).ravel()
        self._columns = columns.astype(np.float32)
        self._mask = (columns < width).astype(np.float32)
        self._rows, positions = _positions(size, coarse_size, is_opencv=config.is_opencv)
        self._coarse_columns = positions[np.minimum(columns, width - 1)]
        self._packed0 = aligned_zeros(height * blocks * simd.LANES)
        num_remembered = len(self._packed0) if config.is_opencv else 0
        self._memory = np.zeros((3, num_remembered), np.float32)
        self._padded = _Padded(size, is_opencv=config.is_opencv)
        self._planes1 = tuple(plane.ravel() for plane in self._padded.planes)
        span = (blocks + 2 * tvl1_simd_median.MARGIN) * 2 * simd.LANES
        kind: type[np.generic] = np.float32 if config.is_opencv else np.int16
        self._median_planes = aligned_zeros(height * span, kind)
        self._median_ranks = aligned_zeros(5 * span, kind)
        self._median_copies = tvl1_simd_median.margin_copies(width, blocks)
        self._scale = 1.0
        """t = tau / theta: the state holds t * u."""

    def _set_tightness(self, tightness: float) -> None:
        self._scale = self._config.time_step / tightness

    def set_images(self, image0: Plane, image1: Plane) -> None:
        """As in `Level`."""
        tvl1_simd_warp.pack_plane(image0, self._packed0, self._layout[2])
        self._padded.fill(image1)
        self._memory[:2] = np.nan

    def seed(self, coarse: Plane, scale: float, *, tightness: float) -> None:
        """As in `Level`."""
        self._set_tightness(tightness)
        factor = np.float32(scale * self._scale)
        positions = (self._coarse_columns, self._rows)
        tvl1_simd_warp.seed(self._state, coarse, *positions, factor, self._layout)

    def median(self, *, tightness: float) -> None:
        """As in `Level`."""
        before = self._scale
        self._set_tightness(tightness)
        planes = (self._median_planes, self._median_ranks, self._median_copies)
        if self._config.is_opencv:
            tvl1_simd_median.median_exact(self._state, *planes, self._layout)
        else:
            ratio = np.float32(self._scale / before)
            tvl1_simd_median.median_int16(self._state, *planes, self._layout, ratio)

    def linearise(self) -> None:
        """As in `Level`."""
        bound = np.float32(self._config.time_step * self._config.attachment)
        rest = (self._columns, self._layout, (np.float32(self._scale), bound))
        if self._config.is_opencv:
            tvl1_simd_warp.linearise_opencv(
                self._state, self._packed0, self._planes1, *rest, self._memory
            )
        else:
            tvl1_simd_warp.linearise(self._state, self._packed0, self._planes1[0], *rest)

    def iterate(self, count: int) -> None:
        """As in `Level`."""
        tau = np.float32(self._config.time_step)
        tvl1_simd.iterate(self._state, self._layout, tau, count)

    def iterate_until(self, limit: float, count: int) -> float:
        """As in `Level`."""
        tau = np.float32(self._config.time_step)
        scaled = float(limit * self._scale**2)
        change: float = tvl1_simd.iterate_until(
            self._state, self._layout, tau, scaled, count, self._mask
        )
        return change / self._scale**2

    def flow(self) -> Plane:
        """As in `Level`."""
        inverse = np.float32(1 / self._scale)
        flow = np.empty((*self._layout[:2], 2), np.float32)
        tvl1_simd_warp.unpack_flow(self._state, inverse, self._layout, flow)
        return flow
