"""Layout changes and the linearisation at the current flow (warp), for AVX2 and AVX-512.

The layout is that of `flow.tvl1_simd`.
"""

import numpy as np

from flow.jit import kernel
from flow.simd import (
    LANES,
    floor,
    fma,
    gather_taps,
    is_zero,
    load,
    multiply_add_int,
    round_even,
    splat,
    sqrt,
    store,
    to_int,
    vmax,
    vmin,
)
from flow.tvl1_pyramid import PAD
from flow.tvl1_simd import BLOCK, BOUND, NX, NY, OFFSET, P11, P12, U1, U2

_f = np.float32
_MIN_SQUARED_GRADIENT = np.float32(np.finfo(np.float32).eps)
_SUBPIXELS = np.float32(32)
_OPENCV_A = np.float32(-0.75)
_CATMULL_ROM_A = np.float32(-0.5)


@kernel
def pack_plane(image, packed, blocks):
    """Copy a plane [H, W] into blocks; padding repeats the last column."""
    height, width = image.shape
    for y in range(height):
        row = y * blocks * LANES
        for lane in range(LANES):
            for block in range(blocks):
                x = min(lane * blocks + block, width - 1)
                packed[row + block * LANES + lane] = image[y, x]


@kernel
def seed(state, coarse, columns, rows, scale, layout):
    """Start a level: u = scale * coarse flow, resized bilinearly; p = 0.

    coarse is [h, w, 2]; column x (in block order) lies at columns[x] of it, row y at rows[y].
    """
    height, _, blocks, stride = layout
    num_rows, num_columns = coarse.shape[:2]
    zero = splat(_f(0))
    line = np.empty(num_columns + 4, np.float32)
    for at in range(0, stride, LANES):
        store(state, at, zero)
    for y in range(height):
        first = int(rows[y])
        share = rows[y] - _f(first)
        for plane in range(2):
            above = coarse[first, :, plane]
            below = coarse[min(first + 1, num_rows - 1), :, plane]
            for x in range(num_columns):
                line[x] = scale * (above[x] + share * (below[x] - above[x]))
            line[num_columns:] = line[num_columns - 1]
            for block in range(blocks):
                x = load(columns, block * LANES)
                left = floor(x)
                taps = gather_taps(line, to_int(left), 0)
                at = (y + 1) * stride + block * BLOCK
                store(state, at + U1 + plane * LANES, fma(x - left, taps[1] - taps[0], taps[0]))
                store(state, at + P11 + plane * 2 * LANES, zero)
                store(state, at + P12 + plane * 2 * LANES, zero)


@kernel
def unpack_flow(state, scale, layout, flow):
    """Write scale * u to flow [H, W, 2]."""
    height, width, blocks, stride = layout
    for y in range(height):
        line = flow[y]
        for lane in range(LANES):
            at = (y + 1) * stride + U1 + lane
            for x in range(lane * blocks, min((lane + 1) * blocks, width)):
                line[x, 0] = scale * state[np.uintp(at)]
                line[x, 1] = scale * state[np.uintp(at + LANES)]
                at += BLOCK


@kernel
def _cubic_weights(f, a):
    """Weights of the four taps around a sample at fraction f, cubic convolution."""
    one = splat(_f(1))
    g = one - f
    near, far = splat(a + _f(2)), splat(a + _f(3))
    second = fma(f * f, fma(near, f, splat(_f(0)) - far), one)
    third = fma(g * g, fma(near, g, splat(_f(0)) - far), one)
    first = splat(a) * f * g * g
    return first, second, third, one - first - second - third


@kernel
def _slope_weights(f):
    """Weights of the four taps for the derivative: central differences, interpolated linearly."""
    half = splat(_f(0.5))
    second = splat(_f(0)) - half * f
    first = splat(_f(0)) - half - second
    return first, second, splat(_f(0)) - first, splat(_f(0)) - second


@kernel
def _dot(taps, weights):
    near = fma(taps[1], weights[1], taps[0] * weights[0])
    return near + fma(taps[3], weights[3], taps[2] * weights[2])


@kernel
def _store_linear(state, at, difference, gradient, scales):
    """Store the linearisation around u (n, b and r); return t (I1(x + u) - I0) / |g|.

    scales is (t, tau lambda).
    """
    gx, gy = gradient
    norm = sqrt(vmax(fma(gx, gx, gy * gy), splat(_MIN_SQUARED_GRADIENT)))
    inverse = splat(_f(1)) / norm
    nx, ny = gx * inverse, gy * inverse
    distance = difference * inverse * splat(scales[0])
    store(state, at + NX, nx)
    store(state, at + NY, ny)
    store(state, at + BOUND, norm * splat(scales[1]))
    _store_offset(state, at, distance)
    return distance


@kernel
def _store_offset(state, at, distance):
    """Store r for n and u as they are."""
    nx, ny = load(state, at + NX), load(state, at + NY)
    along = fma(nx, load(state, at + U1), ny * load(state, at + U2))
    store(state, at + OFFSET, distance - along)


@kernel
def linearise(state, packed0, padded1, columns, layout, scales):
    """Sample frame1 and its gradient at x + u, one 4x4 patch per pixel for all three.

    padded1 repeats the border PAD pixels far, so beyond it the gradient is zero. scales is
    (t, tau lambda).
    """
    height, width, blocks, stride = layout
    inverse_t = _f(1) / scales[0]
    stride1 = width + 2 * PAD + 1
    low, high_x, high_y = splat(_f(-2)), splat(_f(width + 1)), splat(_f(height + 1))
    for y in range(height):
        for block in range(blocks):
            at = (y + 1) * stride + block * BLOCK
            u1 = load(state, at + U1) * splat(inverse_t)
            u2 = load(state, at + U2) * splat(inverse_t)
            at_x = vmin(vmax(load(columns, block * LANES) + u1, low), high_x)
            at_y = vmin(vmax(splat(_f(y)) + u2, low), high_y)
            floor_x, floor_y = floor(at_x), floor(at_y)
            index = multiply_add_int(to_int(floor_y), stride1, to_int(floor_x))
            first = (PAD - 1) * stride1 + PAD - 1
            wx, sx = _cubic_weights(at_x - floor_x, _CATMULL_ROM_A), _slope_weights(at_x - floor_x)
            wy, sy = _cubic_weights(at_y - floor_y, _CATMULL_ROM_A), _slope_weights(at_y - floor_y)
            taps = gather_taps(padded1, index, first)
            line = _dot(taps, wx)
            value, gx, gy = line * wy[0], _dot(taps, sx) * wy[0], line * sy[0]
            taps = gather_taps(padded1, index, first + stride1)
            line = _dot(taps, wx)
            value, gx = fma(line, wy[1], value), fma(_dot(taps, sx), wy[1], gx)
            gy = fma(line, sy[1], gy)
            taps = gather_taps(padded1, index, first + 2 * stride1)
            line = _dot(taps, wx)
            value, gx = fma(line, wy[2], value), fma(_dot(taps, sx), wy[2], gx)
            gy = fma(line, sy[2], gy)
            taps = gather_taps(padded1, index, first + 3 * stride1)
            line = _dot(taps, wx)
            value, gx = fma(line, wy[3], value), fma(_dot(taps, sx), wy[3], gx)
            gy = fma(line, sy[3], gy)
            value0 = load(packed0, (y * blocks + block) * LANES)
            _store_linear(state, at, value - value0, (gx, gy), scales)


@kernel
def _sample(padded, index, first, stride1, wx, wy):
    """Bicubic sample of a padded plane."""
    value = _dot(gather_taps(padded, index, first), wx) * wy[0]
    value = fma(_dot(gather_taps(padded, index, first + stride1), wx), wy[1], value)
    value = fma(_dot(gather_taps(padded, index, first + 2 * stride1), wx), wy[2], value)
    return fma(_dot(gather_taps(padded, index, first + 3 * stride1), wx), wy[3], value)


@kernel
def linearise_opencv(state, packed0, planes1, columns, layout, scales, memory):
    """Sample frame1 and its central differences (planes1, zero outside) as cv2.remap does.

    Cubic convolution with A = -0.75 at coordinates rounded to 1/32 pixel. memory [3, pixels in
    block order] holds the coordinates (NaN at first) and t (I1 - I0) / |g| of the last call: where
    no lane has moved on by a 32nd of a pixel, only r changes. scales is (t, tau lambda).
    """
    height, width, blocks, stride = layout
    inverse_t = _f(1) / scales[0]
    stride1 = width + 2 * PAD + 1
    low, high_x, high_y = splat(_f(-3)), splat(_f(width + 2)), splat(_f(height + 2))
    parts, part = splat(_SUBPIXELS), splat(_f(1) / _SUBPIXELS)
    first = (PAD - 1) * stride1 + PAD - 1
    for y in range(height):
        for block in range(blocks):
            at = (y + 1) * stride + block * BLOCK
            u1 = load(state, at + U1) * splat(inverse_t)
            u2 = load(state, at + U2) * splat(inverse_t)
            at_x = vmin(vmax(load(columns, block * LANES) + u1, low), high_x)
            at_y = vmin(vmax(splat(_f(y)) + u2, low), high_y)
            at_x, at_y = round_even(at_x * parts) * part, round_even(at_y * parts) * part
            to = (y * blocks + block) * LANES
            if is_zero(at_x - load(memory[0], to)) and is_zero(at_y - load(memory[1], to)):
                _store_offset(state, at, load(memory[2], to))
                continue
            floor_x, floor_y = floor(at_x), floor(at_y)
            index = multiply_add_int(to_int(floor_y), stride1, to_int(floor_x))
            part_x, part_y = at_x - floor_x, at_y - floor_y
            if is_zero(part_x) and is_zero(part_y):  # no motion: the usual case in still scenes
                value = gather_taps(planes1[0], index, first + stride1)[1]
                gx = gather_taps(planes1[1], index, first + stride1)[1]
                gy = gather_taps(planes1[2], index, first + stride1)[1]
            else:
                wx, wy = _cubic_weights(part_x, _OPENCV_A), _cubic_weights(part_y, _OPENCV_A)
                value = _sample(planes1[0], index, first, stride1, wx, wy)
                gx = _sample(planes1[1], index, first, stride1, wx, wy)
                gy = _sample(planes1[2], index, first, stride1, wx, wy)
            distance = _store_linear(state, at, value - load(packed0, to), (gx, gy), scales)
            store(memory[0], to, at_x)
            store(memory[1], to, at_y)
            store(memory[2], to, distance)
