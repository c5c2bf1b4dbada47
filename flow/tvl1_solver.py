"""The TV-L1 schedule: pyramid, warps, medians, iterations; one workspace per thread."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from flow import simd, tvl1_simd, tvl1_simd_median, tvl1_simd_warp
from flow.tvl1_pyramid import PAD, halve, pad_repeat, pad_zero_with_gradient, resize, resize_table

Plane = npt.NDArray[np.float32]
_f = np.float32


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """What is done how often."""

    time_step: float
    attachment: float
    tightness: float
    num_scales: int
    num_warps: int
    num_inner: int
    num_outer: int = 1
    epsilon: float | None = None
    follows_opencv: bool = False
    median: Literal["block", "warp", "last"] = "warp"


class SimdLevel:
    """One pyramid level in SIMD layout."""

    def __init__(self, size, coarse_size, schedule: Schedule) -> None:
        height, width = size
        self.size = size
        self.schedule = schedule
        self.blocks = -(-width // simd.LANES)
        stride = (self.blocks + 1) * tvl1_simd.BLOCK
        self.stride = stride + (tvl1_simd.BLOCK if stride * 4 % 4096 == 0 else 0)
        self.state = np.zeros((height + 1) * self.stride, np.float32)
        self.packed0 = np.zeros(height * self.blocks * simd.LANES, np.float32)
        shape = (height + 2 * PAD + 1, width + 2 * PAD + 1)
        self.padded1 = np.zeros((3, *shape) if schedule.follows_opencv else shape, np.float32)
        lane_columns = np.arange(simd.LANES) * self.blocks + np.arange(self.blocks)[:, None]
        self.columns = lane_columns.astype(np.float32).ravel()
        self.mask = (self.columns < width).astype(np.float32)
        span = (self.blocks + 2 * tvl1_simd_median.MARGIN) * 2 * simd.LANES
        kind = np.float32 if schedule.follows_opencv else np.int16
        self.median_planes = np.zeros(height * span, kind)
        self.median_ranks = np.zeros(5 * span, kind)
        self.flow = np.zeros((2, *size), np.float32)
        coarse_h, coarse_w = coarse_size
        self.coarse_zero = np.zeros((2, coarse_h, coarse_w), np.float32)
        ratio_y, ratio_x = (
            (coarse_h / height, coarse_w / width) if schedule.follows_opencv else (0.5, 0.5)
        )
        padded_width = self.blocks * simd.LANES
        self.column_table = resize_table(padded_width, coarse_w, ratio_x)
        self.row_table = resize_table(height, coarse_h, ratio_y)
        t = schedule.time_step / schedule.tightness
        self.t, self.inverse_t = _f(t), _f(1 / t)
        self.high = _f(schedule.attachment * schedule.tightness * t * t)
        self.tau = _f(schedule.time_step)
        scale = t * t
        self.limit = (schedule.epsilon or 0) ** 2 * height * width * scale

    def set_images(self, image0, image1):
        tvl1_simd_warp.pack_plane(image0, self.packed0, self.blocks)
        if self.schedule.follows_opencv:
            pad_zero_with_gradient(image1, self.padded1)
            self.planes1 = tuple(plane.ravel() for plane in self.padded1)
        else:
            pad_repeat(image1, self.padded1)
            self.planes1 = self.padded1.ravel()

    def seed(self, coarse, scale):
        if coarse is None:
            coarse = self.coarse_zero
        tvl1_simd_warp.seed(
            self.state, coarse, *self.column_table, *self.row_table, _f(scale) * self.t, self.blocks, self.stride
        )

    def linearise(self):
        kernel = tvl1_simd_warp.linearise_opencv if self.schedule.follows_opencv else tvl1_simd_warp.linearise
        kernel(self.state, self.packed0, self.planes1, self.columns, self.size, self.blocks, self.stride, self.inverse_t)

    def median(self):
        kernel = tvl1_simd_median.median_exact if self.schedule.follows_opencv else tvl1_simd_median.median_int16
        kernel(self.state, self.median_planes, self.median_ranks, self.size, self.blocks, self.stride)

    def iterate(self):
        tvl1_simd.iterate(self.state, self.size, self.blocks, self.stride, self.tau, self.high, self.schedule.num_inner)

    def iterate_until(self):
        return tvl1_simd.iterate_until(
            self.state, self.size, self.blocks, self.stride, self.tau, self.high, self.limit, self.schedule.num_inner, self.mask
        )

    def get_flow(self):
        tvl1_simd_warp.unpack_flow(self.state, self.inverse_t, self.blocks, self.stride, self.flow)
        return self.flow


def level_sizes(size, schedule):
    sizes = [size]
    while len(sizes) < schedule.num_scales:
        h, w = sizes[-1]
        if schedule.follows_opencv:
            nxt = (round(h * 0.8), round(w * 0.8))
            sizes.append(nxt)
            if min(nxt) < 16: break
        else:
            nxt = ((h + 1) // 2, (w + 1) // 2)
            if min(nxt) < 8: break
            sizes.append(nxt)
    return sizes


class Workspace:
    def __init__(self, size, schedule):
        self.schedule = schedule
        self.sizes = level_sizes(size, schedule)
        self.levels = [SimdLevel(s, c, schedule) for s, c in zip(self.sizes, [*self.sizes[1:], (1, 1)])]
        self.images = [[np.zeros(s, np.float32) for s in self.sizes] for _ in range(2)]
        self.line = np.zeros(size[1], np.float32)
        self.tables = [
            (*resize_table(f[1], c[1], 1.25), *resize_table(f[0], c[0], 1.25)) for c, f in zip(self.sizes, self.sizes[1:])
        ]

    def build(self, which, frame):
        images = self.images[which]
        images[0][:] = frame
        for i in range(1, len(self.sizes)):
            if self.schedule.follows_opencv:
                resize(images[i - 1], *self.tables[i - 1], images[i])
            else:
                halve(images[i - 1], images[i], self.line)

    def solve(self, frame0, frame1):
        self.build(0, frame0)
        self.build(1, frame1)
        coarse = None
        s = self.schedule
        for i in range(len(self.levels) - 1, -1, -1):
            level = self.levels[i]
            level.set_images(self.images[0][i], self.images[1][i])
            level.seed(coarse, 1 / 0.8 if s.follows_opencv else 2.0)
            for w in range(s.num_warps):
                if s.follows_opencv:
                    level.linearise()
                    for _ in range(s.num_outer):
                        level.median()
                        if level.iterate_until() <= level.limit: break
                else:
                    m = s.median == "warp" or (s.median == "last" and i == 0 and w == s.num_warps - 1)
                    if m and MEDFIRST: level.median()
                    level.linearise()
                    if m and not MEDFIRST: level.median()
                    level.iterate()
            coarse = level.get_flow()
        return np.ascontiguousarray(coarse.transpose(1, 2, 0))
MEDFIRST = True
