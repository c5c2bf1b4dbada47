"""TV-L1 on a CUDA device, many pairs at a time: torch for memory, Triton for the kernels.

The schedule and the arithmetic are those of `flow.tvl1_plain` in modes `quality` and `fast`
(`exact` follows OpenCV's stopping rule pair by pair and stays on the CPU). Names are explained
there. All pairs of a batch go through each kernel together; shapes carry a leading axis B.

Needs torch and triton; nothing else of the project imports this module.
"""

import logging
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import triton
import triton.language as tl

from flow.tvl1 import Tvl1Config, make_schedule, tvl1_clip_flow
from flow.tvl1_schedule import Schedule
from schemas.checks import check_array
from schemas.errors import ConfigError

PAIRS_PER_BATCH = 64
"""Pairs on the device at a time; 64 of 340x256 take about 0.5 GiB."""

_BLOCK = 128
_MAX_OFFSET = 2**31 - 1  # kernels address the four dual planes of a batch with 32 bits
_MIN_SIDE_PX = 8
_MIN_SQUARED_GRADIENT = tl.constexpr(1.1920929e-07)
_LOGGER = logging.getLogger("perfnet_prep.flow")


def gpu_clip_flow(
    frames_gray: npt.NDArray[np.uint8],
    *,
    config: Tvl1Config,
    device: str = "cuda",
    pairs_per_batch: int = PAIRS_PER_BATCH,
) -> npt.NDArray[np.float32]:
    """Return as many flow fields as frames, computed on a CUDA device.

    Without a CUDA device the result is that of `flow.tvl1.tvl1_clip_flow`, after a warning.

    Args:
        frames_gray: uint8 [T, H, W], T >= 1, both sides >= 8. Not modified.
        config: Parameters; mode quality or fast.
        device: A torch device; "cpu" runs Triton's interpreter and is for tests.
        pairs_per_batch: Pairs on the device at a time. > 0. Does not change the result.

    Returns:
        float32 [T, H, W, 2], (dx, dy) in pixels from frame t to t + 1; the last repeats its
        predecessor; a single frame has zero flow; identical frames have exactly zero flow.

    Raises:
        ConfigError: If the mode is exact.
        ValueError: If frames_gray is not uint8 [T, H, W], T is 0, a side is shorter than 8, or
            pairs_per_batch < 1.

    References:
        As `flow.tvl1_plain`.
    """
    if config.mode == "exact":
        raise ConfigError("mode must be quality or fast on a GPU, got exact; use engine tvl1")
    _check_frames(frames_gray, pairs_per_batch)
    if device != "cpu" and not torch.cuda.is_available():
        _LOGGER.warning("no CUDA device: flow is computed on the CPU (engine tvl1)")
        return tvl1_clip_flow(frames_gray, config=config)
    flow = np.zeros((*frames_gray.shape, 2), np.float32)
    schedule = make_schedule(config)
    plane = frames_gray[0].size
    pairs_per_batch = max(1, min(pairs_per_batch, _MAX_OFFSET // (4 * plane)))
    moving = np.flatnonzero((frames_gray[1:] != frames_gray[:-1]).any(axis=(1, 2)))
    for start in range(0, len(moving), pairs_per_batch):
        pairs = moving[start : start + pairs_per_batch]
        images0, images1 = (_upload(frames_gray[pairs + step], device) for step in (0, 1))
        flow[pairs] = _solve(images0, images1, schedule).permute(0, 2, 3, 1).cpu().numpy()
    if len(frames_gray) > 1:
        flow[-1] = flow[-2]
    return flow


def _check_frames(frames_gray: npt.NDArray[np.uint8], pairs_per_batch: int) -> None:
    check_array("frames_gray", frames_gray, dtype=np.uint8, axes="T H W")
    num_frames, height, width = frames_gray.shape
    if num_frames == 0:
        raise ValueError("frames_gray must have at least one frame, got 0")
    if min(height, width) < _MIN_SIDE_PX:
        raise ValueError(f"frames_gray must be at least 8x8 pixels, got {width}x{height}")
    if pairs_per_batch < 1:
        raise ValueError(f"pairs_per_batch must be >= 1, got {pairs_per_batch}")


def _upload(frames: npt.NDArray[np.uint8], device: str) -> Any:
    return torch.from_numpy(np.ascontiguousarray(frames)).to(device).float()


# ---------------------------------------------------------------- schedule


def _solve(images0: Any, images1: Any, schedule: Schedule) -> Any:
    """Flow [B, 2, H, W] of grey images [B, H, W], from coarse to fine."""
    pyramid0, pyramid1 = _pyramid(images0, schedule), _pyramid(images1, schedule)
    flow = torch.zeros_like(pyramid0[-1]).unsqueeze(1).repeat(1, 2, 1, 1)
    for level in reversed(range(len(pyramid0))):
        image0, image1 = pyramid0[level], pyramid1[level]
        flow = _grow(flow, image0.shape[1:])
        dual = image0.new_zeros((len(image0), 4, *image0.shape[1:]))
        for warp in range(schedule.num_warps):
            thetas = schedule.tightness
            theta = thetas[min(warp, len(thetas) - 1)] if level == 0 else thetas[0]
            flow = _median(flow)
            gradient, constant = _linearise(flow, image0, image1)
            for _ in range(schedule.num_inner):
                _iterate(flow, dual, gradient, constant, schedule, theta)
    return flow


def _pyramid(images: Any, schedule: Schedule) -> list[Any]:
    """[B, H, W] halved until there are enough levels or a side would get under 8 pixels."""
    levels = [images]
    while len(levels) < schedule.num_scales:
        height, width = levels[-1].shape[1:]
        if min((height + 1) // 2, (width + 1) // 2) < _MIN_SIDE_PX:
            break
        levels.append(_halve(_halve(levels[-1], axis=1), axis=2))
    return levels


def _halve(images: Any, *, axis: int) -> Any:
    """Filter by [1 3 3 1] / 8 along an axis and keep every other pixel; border repeated."""
    length = images.shape[axis]
    first = torch.arange(0, length, 2, device=images.device)

    def tap(offset: int) -> Any:
        return images.index_select(axis, (first + offset).clamp(0, length - 1))

    return ((tap(-1) + tap(2)) + 3 * (tap(0) + tap(1))) / 8


def _grow(flow: Any, size: tuple[int, int]) -> Any:
    """Twice the coarse flow [B, 2, h, w], resized bilinearly to [B, 2, H, W]."""
    if flow.shape[2:] == size:
        return flow
    for axis, length in enumerate(size, start=2):
        coarse = flow.shape[axis]
        at = (torch.arange(length, device=flow.device) + 0.5) * 0.5 - 0.5
        at = at.clamp(0, coarse - 1)
        first = at.floor().long()
        weight = (at - first).view([-1 if each == axis else 1 for each in range(4)])
        low = flow.index_select(axis, first)
        high = flow.index_select(axis, (first + 1).clamp(max=coarse - 1))
        flow = low + weight * (high - low)
    return 2 * flow


def _grid(planes: Any) -> tuple[int, int]:
    """One program per row of every image and block of columns."""
    height, width = planes.shape[-2:]
    return len(planes) * height, triton.cdiv(width, _BLOCK)


def _median(flow: Any) -> Any:
    """5x5 median of each component; border repeated."""
    filtered = torch.empty_like(flow)
    planes = flow.view(-1, *flow.shape[2:])
    _median_kernel[_grid(planes)](flow, filtered, *flow.shape[2:], block=_BLOCK)
    return filtered


def _linearise(flow: Any, image0: Any, image1: Any) -> tuple[Any, Any]:
    gradient, constant = torch.empty_like(flow), torch.empty_like(image0)
    _linearise_kernel[_grid(image0)](
        flow, image0, image1, gradient, constant, *image0.shape[1:], block=_BLOCK
    )
    return gradient, constant


def _iterate(
    flow: Any, dual: Any, gradient: Any, constant: Any, schedule: Schedule, theta: float
) -> None:
    """One iteration in place: v and u, then p."""
    grid, size = _grid(constant), constant.shape[1:]
    limit = schedule.attachment * theta
    _primal_kernel[grid](flow, dual, gradient, constant, *size, limit, theta, block=_BLOCK)
    _dual_kernel[grid](flow, dual, *size, schedule.time_step / theta, block=_BLOCK)


# ---------------------------------------------------------------- kernels
# A program handles `block` columns of one row; `plane` is the number of pixels of a plane.


@triton.jit
def _primal_kernel(  # noqa: PLR0913 - buffers, sizes and factors of one launch
    flow, dual, gradient, constant, height, width, limit, theta, block: tl.constexpr
):
    """Equations (4) and (5): `flow.tvl1_plain.primal_sweep` without the sum of changes."""
    image, y = tl.program_id(0) // height, tl.program_id(0) % height
    x = tl.program_id(1) * block + tl.arange(0, block)
    inside = x < width
    plane = height * width
    pixel = y * width + x
    u = flow + image * 2 * plane + pixel
    g = gradient + image * 2 * plane + pixel
    p = dual + image * 4 * plane + pixel
    gx, gy = tl.load(g, inside, 0.0), tl.load(g + plane, inside, 0.0)
    u1, u2 = tl.load(u, inside, 0.0), tl.load(u + plane, inside, 0.0)
    rho = tl.load(constant + image * plane + pixel, inside, 0.0) + gx * u1 + gy * u2
    squared = tl.maximum(gx * gx + gy * gy, _MIN_SQUARED_GRADIENT)
    step = tl.minimum(tl.maximum(-rho / squared, -limit), limit)
    rows = x * 0 + y
    has_left, has_above = inside & (x > 0), inside & (rows > 0)
    div1 = tl.load(p, inside, 0.0) - tl.load(p - 1, has_left, 0.0)
    div1 += tl.load(p + plane, inside, 0.0) - tl.load(p + plane - width, has_above, 0.0)
    div2 = tl.load(p + 2 * plane, inside, 0.0) - tl.load(p + 2 * plane - 1, has_left, 0.0)
    div2 += tl.load(p + 3 * plane, inside, 0.0) - tl.load(p + 3 * plane - width, has_above, 0.0)
    tl.store(u, u1 + step * gx + theta * div1, inside)
    tl.store(u + plane, u2 + step * gy + theta * div2, inside)


@triton.jit
def _dual_kernel(flow, dual, height, width, step, block: tl.constexpr):
    """Equation (6): `flow.tvl1_plain.dual_sweep`."""
    image, y = tl.program_id(0) // height, tl.program_id(0) % height
    x = tl.program_id(1) * block + tl.arange(0, block)
    inside = x < width
    plane = height * width
    pixel = y * width + x
    rows = x * 0 + y
    for component in tl.static_range(2):
        u = flow + (image * 2 + component) * plane + pixel
        p = dual + (image * 4 + 2 * component) * plane + pixel
        here = tl.load(u, inside, 0.0)
        right = tl.load(u + 1, inside & (x + 1 < width), 0.0)
        below = tl.load(u + width, inside & (rows + 1 < height), 0.0)
        dx = tl.where(x + 1 < width, step * (right - here), 0.0)
        dy = tl.where(rows + 1 < height, step * (below - here), 0.0)
        norm = 1.0 + tl.sqrt(dx * dx + dy * dy)
        tl.store(p, (tl.load(p, inside, 0.0) + dx) / norm, inside)
        tl.store(p + plane, (tl.load(p + plane, inside, 0.0) + dy) / norm, inside)


@triton.jit
def _cubic_weight(f, tap: tl.constexpr):
    """Weight of one of four taps, cubic convolution with A = -0.5 (Keys 1981)."""
    g = 1.0 - f
    first = -0.5 * f * g * g
    second = (1.5 * f - 2.5) * f * f + 1.0
    third = (1.5 * g - 2.5) * g * g + 1.0
    if tap == 0:
        weight = first
    elif tap == 1:
        weight = second
    elif tap == 2:
        weight = third
    else:
        weight = 1.0 - first - second - third
    return weight


@triton.jit
def _slope_weight(f, tap: tl.constexpr):
    """Weight of one of four taps for the derivative: central differences, linear between."""
    if tap == 0:
        weight = -0.5 * (1.0 - f)
    elif tap == 1:
        weight = -0.5 * f
    elif tap == 2:
        weight = 0.5 * (1.0 - f)
    else:
        weight = 0.5 * f
    return weight


@triton.jit
def _linearise_kernel(flow, image0, image1, gradient, constant, height, width, block: tl.constexpr):
    """`flow.tvl1_plain.linearise`."""
    image, y = tl.program_id(0) // height, tl.program_id(0) % height
    x = tl.program_id(1) * block + tl.arange(0, block)
    inside = x < width
    plane = height * width
    pixel = y * width + x
    u = flow + image * 2 * plane + pixel
    u1, u2 = tl.load(u, inside, 0.0), tl.load(u + plane, inside, 0.0)
    at_x = tl.minimum(tl.maximum(x + u1, -2.0), width + 1.0)
    at_y = tl.minimum(tl.maximum(y + u2, -2.0), height + 1.0)
    left, top = tl.floor(at_x), tl.floor(at_y)
    part_x, part_y = at_x - left, at_y - top
    value = tl.zeros([block], tl.float32)
    gx, gy = tl.zeros([block], tl.float32), tl.zeros([block], tl.float32)
    for row in tl.static_range(4):
        line = tl.minimum(tl.maximum(top.to(tl.int32) + (row - 1), 0), height - 1) * width
        sampled = tl.zeros([block], tl.float32)
        slope = tl.zeros([block], tl.float32)
        for column in tl.static_range(4):
            across = tl.minimum(tl.maximum(left.to(tl.int32) + (column - 1), 0), width - 1)
            pixels = tl.load(image1 + image * plane + line + across, inside, 0.0)
            sampled += pixels * _cubic_weight(part_x, column)
            slope += pixels * _slope_weight(part_x, column)
        value += sampled * _cubic_weight(part_y, row)
        gx += slope * _cubic_weight(part_y, row)
        gy += sampled * _slope_weight(part_y, row)
    value -= tl.load(image0 + image * plane + pixel, inside, 0.0)
    tl.store(gradient + image * 2 * plane + pixel, gx, inside)
    tl.store(gradient + image * 2 * plane + plane + pixel, gy, inside)
    tl.store(constant + image * plane + pixel, value - gx * u1 - gy * u2, inside)


@triton.jit
def _median_kernel(planes, filtered, height, width, block: tl.constexpr):
    """`flow.tvl1_plain.median`: the 13th smallest of 25, found bit by bit.

    Floats are mapped to integers of the same order; 31 halvings of the integers find the least
    value that at least 13 of the window do not exceed.
    """
    image, y = tl.program_id(0) // height, tl.program_id(0) % height
    x = tl.program_id(1) * block + tl.arange(0, block)
    inside = x < width
    neighbour = tl.arange(0, 32)[:, None]
    row = tl.minimum(tl.maximum(y + neighbour // 5 - 2, 0), height - 1)
    column = tl.minimum(tl.maximum(x[None, :] + neighbour % 5 - 2, 0), width - 1)
    is_used = (neighbour < 25) & inside[None, :]
    source = planes + image * height * width
    values = tl.load(source + row * width + column, is_used, float("inf"))
    bits = values.to(tl.int32, bitcast=True)
    ordered = tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    low = tl.min(ordered, 0)
    high = tl.max(tl.where(is_used, ordered, -2147483648), 0)
    for _ in range(32):
        middle = (low & high) + ((low ^ high) >> 1)  # floor of the mean, without overflow
        has_enough = tl.sum((ordered <= middle[None, :]).to(tl.int32), 0) >= 13
        high = tl.where(has_enough, middle, high)
        low = tl.where(has_enough, low, tl.minimum(middle + 1, high))
    found = tl.where(high < 0, high ^ 0x7FFFFFFF, high)
    target = filtered + image * height * width + y * width + x
    tl.store(target, found.to(tl.float32, bitcast=True), inside)
