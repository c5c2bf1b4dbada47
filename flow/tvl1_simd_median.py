"""Median over 5x5 windows for AVX2 and AVX-512.

Both components of the flow lie side by side in the layout of `flow.tvl1_simd`, two blocks deep
beyond both ends of a row, so the 25 pixels of a window are 25 equal lanes. Columns are sorted once
and shared by the five windows they belong to. The median of five sorted columns takes
84 minima and maxima: a comparator network found by simulated annealing over the 6^5 patterns of
zeros and ones that sorted columns can show (0-1 principle: right for those, right for all).

Runs on float32 for equality with cv2.medianBlur, or on int16, twice as many pixels at a time.
"""

import numpy as np
import numpy.typing as npt

from flow.jit import kernel
from flow.simd import LANES, load, pack_i16, round_even, splat, store, unpack_i16, vmax, vmin
from flow.tvl1_simd import BLOCK, U1, U2

MARGIN = 2
"""Blocks before and after the blocks of a row in the planes that the median reads."""

_INT16_MAX = np.float32(32767)
_SMALLEST = np.float32(1e-30)
_f = np.float32


@kernel
def _sort_column(rows, planes, ranks, to, rank_stride):
    """Sort five rows (offsets in `rows`) lane by lane into ranks, smallest first."""
    a, b, c = load(planes, rows[0] + to), load(planes, rows[1] + to), load(planes, rows[2] + to)
    d, e = load(planes, rows[3] + to), load(planes, rows[4] + to)
    a, b = vmin(a, b), vmax(a, b)
    d, e = vmin(d, e), vmax(d, e)
    c, e = vmin(c, e), vmax(c, e)
    c, d = vmin(c, d), vmax(c, d)
    b, e = vmin(b, e), vmax(b, e)
    a, d = vmin(a, d), vmax(a, d)
    a, c = vmin(a, c), vmax(a, c)
    b, d = vmin(b, d), vmax(b, d)
    b, c = vmin(b, c), vmax(b, c)
    store(ranks, to, a)
    store(ranks, to + rank_stride, b)
    store(ranks, to + 2 * rank_stride, c)
    store(ranks, to + 3 * rank_stride, d)
    store(ranks, to + 4 * rank_stride, e)


@kernel
def _median_of_columns(ranks, at, rank_stride):  # noqa: PLR0915
    """Median of the five sorted columns around `at`; c20 is the smallest of the middle one."""
    c00 = load(ranks, at - 4 * LANES)
    c01 = load(ranks, at + rank_stride - 4 * LANES)
    c02 = load(ranks, at + 2 * rank_stride - 4 * LANES)
    c03 = load(ranks, at + 3 * rank_stride - 4 * LANES)
    c04 = load(ranks, at + 4 * rank_stride - 4 * LANES)
    c10 = load(ranks, at - 2 * LANES)
    c11 = load(ranks, at + rank_stride - 2 * LANES)
    c12 = load(ranks, at + 2 * rank_stride - 2 * LANES)
    c13 = load(ranks, at + 3 * rank_stride - 2 * LANES)
    c14 = load(ranks, at + 4 * rank_stride - 2 * LANES)
    c20 = load(ranks, at)
    c21 = load(ranks, at + rank_stride)
    c22 = load(ranks, at + 2 * rank_stride)
    c23 = load(ranks, at + 3 * rank_stride)
    c24 = load(ranks, at + 4 * rank_stride)
    c30 = load(ranks, at + 2 * LANES)
    c31 = load(ranks, at + rank_stride + 2 * LANES)
    c32 = load(ranks, at + 2 * rank_stride + 2 * LANES)
    c33 = load(ranks, at + 3 * rank_stride + 2 * LANES)
    c34 = load(ranks, at + 4 * rank_stride + 2 * LANES)
    c40 = load(ranks, at + 4 * LANES)
    c41 = load(ranks, at + rank_stride + 4 * LANES)
    c42 = load(ranks, at + 2 * rank_stride + 4 * LANES)
    c43 = load(ranks, at + 3 * rank_stride + 4 * LANES)
    c44 = load(ranks, at + 4 * rank_stride + 4 * LANES)
    c40, c20 = vmin(c40, c20), vmax(c40, c20)
    c01, c31 = vmin(c01, c31), vmax(c01, c31)
    c10, c30 = vmin(c10, c30), vmax(c10, c30)
    c44, c24 = vmin(c44, c24), vmax(c44, c24)
    c43, c13 = vmin(c43, c13), vmax(c43, c13)
    c41, c21 = vmin(c41, c21), vmax(c41, c21)
    c02, c42 = vmin(c02, c42), vmax(c02, c42)
    c13, c03 = vmin(c13, c03), vmax(c13, c03)
    c21, c14 = vmin(c21, c14), vmax(c21, c14)
    c40 = vmax(c00, c40)
    c32, c22 = vmin(c32, c22), vmax(c32, c22)
    c31, c44 = vmin(c31, c44), vmax(c31, c44)
    c13, c33 = vmin(c13, c33), vmax(c13, c33)
    c20 = vmax(c10, c20)
    c43, c23 = vmin(c43, c23), vmax(c43, c23)
    c21, c34 = vmin(c21, c34), vmax(c21, c34)
    c22, c42 = vmin(c22, c42), vmax(c22, c42)
    c21, c04 = vmin(c21, c04), vmax(c21, c04)
    c33 = vmin(c33, c42)
    c40, c20 = vmin(c40, c20), vmax(c40, c20)
    c41 = vmax(c01, c41)
    c02, c32 = vmin(c02, c32), vmax(c02, c32)
    c02 = vmax(c11, c02)
    c12, c32 = vmin(c12, c32), vmax(c12, c32)
    c22, c32 = vmin(c22, c32), vmax(c22, c32)
    c23 = vmin(c23, c32)
    c14 = vmin(c14, c44)
    c21, c31 = vmin(c21, c31), vmax(c21, c31)
    c34 = vmin(c34, c04)
    c23 = vmin(c23, c33)
    c24 = vmin(c24, c03)
    c40 = vmax(c30, c40)
    c22, c12 = vmin(c22, c12), vmax(c22, c12)
    c31, c02 = vmin(c31, c02), vmax(c31, c02)
    c14 = vmin(c14, c24)
    c31 = vmax(c41, c31)
    c34 = vmin(c34, c14)
    c02, c31 = vmin(c02, c31), vmax(c02, c31)
    c13, c43 = vmin(c13, c43), vmax(c13, c43)
    c20, c40 = vmin(c20, c40), vmax(c20, c40)
    c43, c23 = vmin(c43, c23), vmax(c43, c23)
    c43 = vmax(c20, c43)
    c40 = vmin(c40, c23)
    c22 = vmax(c02, c22)
    c40, c43 = vmin(c40, c43), vmax(c40, c43)
    c22 = vmax(c21, c22)
    c31 = vmin(c31, c43)
    c13 = vmax(c40, c13)
    c22, c34 = vmin(c22, c34), vmax(c22, c34)
    c31 = vmin(c31, c34)
    c31, c12 = vmin(c31, c12), vmax(c31, c12)
    c31 = vmax(c22, c31)
    c13 = vmax(c31, c13)
    return vmin(c12, c13)


def margin_copies(width: int, blocks: int) -> npt.NDArray[np.int64]:
    """Return which elements of a row to copy, [2, N] (from, to): padding and margins.

    Columns left of 0 repeat column 0, those right of W - 1 repeat W - 1.
    """
    block, lane = np.mgrid[-MARGIN : blocks + MARGIN, 0:LANES]
    column = lane * blocks + block
    is_copy = (column < 0) | (column >= width) | (block < 0) | (block >= blocks)
    source = np.clip(column, 0, width - 1)
    to = (block + MARGIN) * 2 * LANES + lane
    start = (source % blocks + MARGIN) * 2 * LANES + source // blocks
    pairs = np.stack([start[is_copy], to[is_copy]])
    return np.concatenate([pairs, pairs + LANES], axis=1)


@kernel
def _fill_margins(planes, row, copies):
    for index in range(copies.shape[1]):
        to, start = np.uintp(row + copies[1, index]), np.uintp(row + copies[0, index])
        planes[to] = planes[start]


@kernel
def _sort_row(planes, y, height, row_stride, ranks):
    """Sort the five pixels above and below each pixel of row y."""
    r0, r1 = max(y - 2, 0) * row_stride, max(y - 1, 0) * row_stride
    r3, r4 = min(y + 1, height - 1) * row_stride, min(y + 2, height - 1) * row_stride
    rows = (r0, r1, y * row_stride, r3, r4)
    for at in range(0, row_stride, LANES * 4 // planes.itemsize):
        _sort_column(rows, planes, ranks, at, row_stride)


@kernel
def median_exact(state, planes, ranks, copies, layout):
    """Replace u by its 5x5 median, bit for bit as cv2.medianBlur does."""
    height, _, blocks, stride = layout
    row_stride = (blocks + 2 * MARGIN) * 2 * LANES
    first = MARGIN * 2 * LANES
    for y in range(height):
        for block in range(blocks):
            at, to = (y + 1) * stride + block * BLOCK, y * row_stride + first + block * 2 * LANES
            store(planes, to, load(state, at + U1))
            store(planes, to + LANES, load(state, at + U2))
        _fill_margins(planes, y * row_stride, copies)
    for y in range(height):
        _sort_row(planes, y, height, row_stride, ranks)
        for block in range(blocks):
            at, to = first + block * 2 * LANES, (y + 1) * stride + block * BLOCK
            store(state, to + U1, _median_of_columns(ranks, at, row_stride))
            store(state, to + U2, _median_of_columns(ranks, at + LANES, row_stride))


@kernel
def _largest(state, height, blocks, stride):
    """Largest absolute component of u."""
    zero = splat(_f(0))
    most, least = zero, zero
    for y in range(height):
        for block in range(blocks):
            at = (y + 1) * stride + block * BLOCK
            u1, u2 = load(state, at + U1), load(state, at + U2)
            most = vmax(most, vmax(u1, u2))
            least = vmin(least, vmin(u1, u2))
    ends = np.empty(LANES, np.float32)
    store(ends, 0, vmax(most, zero - least))
    return ends.max()


@kernel
def median_int16(state, planes, ranks, copies, layout, ratio):
    """Replace u by ratio * its 5x5 median, to within max|u| / 65534 (padding included)."""
    height, _, blocks, stride = layout
    largest = _largest(state, height, blocks, stride)
    if largest < _SMALLEST:  # nothing to filter, and its reciprocal could overflow
        return
    step = largest / _INT16_MAX
    down, up = splat(_f(1) / step), splat(ratio * step)
    limit = splat(_INT16_MAX)
    row_stride = (blocks + 2 * MARGIN) * 2 * LANES
    first = MARGIN * 2 * LANES
    for y in range(height):
        for block in range(blocks):
            at, to = (y + 1) * stride + block * BLOCK, y * row_stride + first + block * 2 * LANES
            u1 = vmin(round_even(load(state, at + U1) * down), limit)
            u2 = vmin(round_even(load(state, at + U2) * down), limit)
            store(planes, to, pack_i16(u1, u2))
        _fill_margins(planes, y * row_stride, copies)
    for y in range(height):
        _sort_row(planes, y, height, row_stride, ranks)
        for block in range(blocks):
            median = _median_of_columns(ranks, first + block * 2 * LANES, row_stride)
            u1, u2 = unpack_i16(median)
            to = (y + 1) * stride + block * BLOCK
            store(state, to + U1, u1 * up)
            store(state, to + U2, u2 * up)
