"""The TV-L1 schedule: pyramid, warps, medians and iterations, on buffers that are kept."""

import numpy as np
import numpy.typing as npt

from flow.tvl1_levels import Level, LevelConfig, Plane, Size, make_level
from flow.tvl1_pyramid import halve, resize, source_positions
from flow.tvl1_schedule import Schedule

_OPENCV_STEP = 0.8
_OPENCV_MIN_SIDE_PX = 16
_MIN_SIDE_PX = 8


class Solver:
    """Buffers for pairs of one size; one thread at a time may use it."""

    def __init__(self, size: Size, schedule: Schedule) -> None:
        self._schedule = schedule
        self._sizes = _level_sizes(size, schedule)
        config = LevelConfig(
            time_step=schedule.time_step,
            attachment=schedule.attachment,
            is_opencv=schedule.is_opencv,
        )
        coarser = [*self._sizes[1:], self._sizes[-1]]
        self._levels = [
            make_level(*sizes, config) for sizes in zip(self._sizes, coarser, strict=True)
        ]
        self._pyramids = [[np.zeros(s, np.float32) for s in self._sizes] for _ in range(2)]
        self._line = np.zeros(size[1], np.float32)
        self._positions = [
            tuple(
                source_positions(np.arange(n), m, 1 / _OPENCV_STEP)
                for n, m in zip(c, f, strict=True)
            )
            for f, c in zip(self._sizes, self._sizes[1:], strict=False)
            if schedule.is_opencv
        ]
        self._still = np.zeros((*self._sizes[-1], 2), np.float32)

    def solve(self, frame0: npt.NDArray[np.generic], frame1: npt.NDArray[np.generic]) -> Plane:
        """Return the flow, float32 [H, W, 2], of two grey frames of this solver's size."""
        self._build_pyramid(self._pyramids[0], frame0)
        self._build_pyramid(self._pyramids[1], frame1)
        growth = 1 / _OPENCV_STEP if self._schedule.is_opencv else 2.0
        flow = self._still
        for index in reversed(range(len(self._levels))):
            level = self._levels[index]
            level.set_images(self._pyramids[0][index], self._pyramids[1][index])
            level.seed(flow, growth, tightness=self._schedule.tightness[0])
            for warp in range(self._schedule.num_warps):
                if self._schedule.is_opencv:
                    self._warp_opencv(level, self._schedule.epsilon**2 * self._level_area(index))
                else:
                    self._warp(level, self._tightness(index, warp))
            flow = level.flow()
        return flow

    def _warp(self, level: Level, tightness: float) -> None:
        """Median, linearisation, a fixed number of iterations."""
        level.median(tightness=tightness)
        level.linearise()
        level.iterate(self._schedule.num_inner)

    def _warp_opencv(self, level: Level, limit: float) -> None:
        """Linearisation, then blocks of a median and iterations until the flow settles."""
        level.linearise()
        for _ in range(self._schedule.num_outer):
            level.median(tightness=self._schedule.tightness[0])
            if level.iterate_until(limit, self._schedule.num_inner) <= limit:
                return

    def _tightness(self, level: int, warp: int) -> float:
        values = self._schedule.tightness
        return values[min(warp, len(values) - 1)] if level == 0 else values[0]

    def _level_area(self, index: int) -> int:
        height, width = self._sizes[index]
        return height * width

    def _build_pyramid(self, planes: list[Plane], frame: npt.NDArray[np.generic]) -> None:
        planes[0][:] = frame
        for index in range(1, len(planes)):
            if self._schedule.is_opencv:
                rows, columns = self._positions[index - 1]
                resize(planes[index - 1], columns, rows, planes[index])
            else:
                halve(planes[index - 1], planes[index], self._line)


def _level_sizes(size: Size, schedule: Schedule) -> list[Size]:
    """Sizes from fine to coarse, none but the first with a side that is too short."""
    sizes = [size]
    while len(sizes) < schedule.num_scales:
        height, width = sizes[-1]
        if schedule.is_opencv:
            sizes.append((round(height * _OPENCV_STEP), round(width * _OPENCV_STEP)))
            if min(sizes[-1]) < _OPENCV_MIN_SIDE_PX:
                sizes.pop()
                break
        else:
            half = ((height + 1) // 2, (width + 1) // 2)
            if min(half) < _MIN_SIDE_PX:
                break
            sizes.append(half)
    return sizes
