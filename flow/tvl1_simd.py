"""TV-L1 for AVX2 and AVX-512: the kernels of `flow.tvl1_plain`, a register of pixels at a time.

Layout. A row of W pixels is cut into LANES pieces of M = ceil(W / LANES) columns; block m holds
column k * M + m in lane k. The horizontal neighbours of a whole register are then simply the
registers of blocks m - 1 and m + 1: no shuffles inside a row. Only at both ends of a row do lanes
move by one. Columns W and beyond are padding: finite, and never read by a real column, but for
column W itself, which repeats column W - 1.

The ten planes of a block lie side by side (`PLANES` below), the blocks of a row one after the
other with one spare block at the end, and one spare row above the first.

Scaled variables. With t = tau / theta and g = grad I1 the state holds u' = t u, the unit vector
n = g / |g|, r = t constant / |g| and b = tau lambda |g|. The thresholding step then is
v' = u' + clamp(-(r + <n, u'>), -b, b) n, and the update of p needs no multiplication by t.
Numbers of equations are those of `flow.tvl1_plain`.

An iteration is bound by the length of its chain of dependent instructions, not by their number:
terms that do not wait for others are added first.
"""

import numpy as np

from flow.jit import kernel
from flow.simd import (
    LANES,
    fma,
    from_left,
    from_right,
    load,
    negative_fma,
    reduce_add,
    rsqrt,
    splat,
    store,
    vmax,
    vmin,
)

NX, NY, BOUND, OFFSET, U1, U2, P11, P12, P21, P22 = (LANES * plane for plane in range(10))
BLOCK = 10 * LANES
_f = np.float32
_TINY = np.float32(1e-12)
_MAX_DEPTH = 16


# ---------------------------------------------------------------- iterations


@kernel
def _primal(state, at, u, divergence, tau):
    """Equations (4) and (5) of `flow.tvl1_plain`, both components."""
    nx, ny, bound = load(state, at + NX), load(state, at + NY), load(state, at + BOUND)
    residual = fma(nx, u[0], fma(ny, u[1], load(state, at + OFFSET)))
    step = vmin(vmax(residual, splat(_f(0)) - bound), bound)
    free1, free2 = fma(tau, divergence[0], u[0]), fma(tau, divergence[1], u[1])
    return negative_fma(step, nx, free1), negative_fma(step, ny, free2)


@kernel
def _dual(state, at, second, gradient, one):
    """Equation (6) for the plane at `at` and the next, whose p is given."""
    dx, dy = gradient
    squared = fma(dy, dy, fma(dx, dx, splat(_TINY)))
    weight = one / fma(squared, rsqrt(squared), one)
    store(state, at, (load(state, at) + dx) * weight)
    store(state, at + LANES, (second + dy) * weight)


@kernel
def _edge(width, blocks):
    """Offsets of columns W - 1 and W in a row; equal if there is no padding."""
    last = (width - 1) % blocks * BLOCK + (width - 1) // blocks
    if width == blocks * LANES:
        return last, last
    return last, width % blocks * BLOCK + width // blocks


@kernel
def _close_row(state, row, edge, blocks):
    """Let column W repeat column W - 1, and the spare block be the right neighbour of the last."""
    for plane in (U1, U2):
        start = row + plane
        state[np.uintp(start + edge[1])] = state[np.uintp(start + edge[0])]
        last = load(state, start + (blocks - 1) * BLOCK)
        store(state, start + blocks * BLOCK, from_right(load(state, start), last))


@kernel
def _squared_change(change1, change2):
    return fma(change1, change1, change2 * change2)


@kernel
def _first_row(state, row, edge, blocks, tau, mask):
    """New u of row 0; p above it is zero."""
    zero = splat(_f(0))
    error = zero
    step = splat(tau)
    end = row + (blocks - 1) * BLOCK
    left1 = from_left(zero, load(state, end + P11))
    left2 = from_left(zero, load(state, end + P21))
    for block in range(blocks):
        at = row + block * BLOCK
        u1, u2 = load(state, at + U1), load(state, at + U2)
        p11, p21 = load(state, at + P11), load(state, at + P21)
        div1 = (p11 - left1) + load(state, at + P12)
        div2 = (p21 - left2) + load(state, at + P22)
        left1, left2 = p11, p21
        new1, new2 = _primal(state, at, (u1, u2), (div1, div2), step)
        if mask is not None:
            weight = load(mask, block * LANES)
            error = fma(weight, _squared_change(new1 - u1, new2 - u2), error)
        store(state, at + U1, new1)
        store(state, at + U2, new2)
    _close_row(state, row, edge, blocks)
    return error


@kernel
def _inner_row(state, row, stride, edge, blocks, tau, mask):
    """New u of a row and, while it is in registers, new p of the row above."""
    zero, one = splat(_f(0)), splat(_f(1))
    error = zero
    step = splat(tau)
    end = row + (blocks - 1) * BLOCK
    left1 = from_left(zero, load(state, end + P11))
    left2 = from_left(zero, load(state, end + P21))
    above1, above2 = load(state, row - stride + U1), load(state, row - stride + U2)
    for block in range(blocks):
        at = row + block * BLOCK
        up = at - stride
        u1, u2 = load(state, at + U1), load(state, at + U2)
        p11, p21 = load(state, at + P11), load(state, at + P21)
        up12, up22 = load(state, up + P12), load(state, up + P22)
        div1 = (p11 - left1) + (load(state, at + P12) - up12)
        div2 = (p21 - left2) + (load(state, at + P22) - up22)
        left1, left2 = p11, p21
        new1, new2 = _primal(state, at, (u1, u2), (div1, div2), step)
        if mask is not None:
            weight = load(mask, block * LANES)
            error = fma(weight, _squared_change(new1 - u1, new2 - u2), error)
        store(state, at + U1, new1)
        store(state, at + U2, new2)
        next1, next2 = load(state, up + BLOCK + U1), load(state, up + BLOCK + U2)
        _dual(state, up + P11, up12, (next1 - above1, new1 - above1), one)
        _dual(state, up + P21, up22, (next2 - above2, new2 - above2), one)
        above1, above2 = next1, next2
    _close_row(state, row, edge, blocks)
    return error


@kernel
def _last_dual_row(state, row, blocks):
    """New p of the last row, where the downward derivative of u is zero."""
    zero, one = splat(_f(0)), splat(_f(1))
    for block in range(blocks):
        at = row + block * BLOCK
        right = at + BLOCK
        dx1 = load(state, right + U1) - load(state, at + U1)
        dx2 = load(state, right + U2) - load(state, at + U2)
        _dual(state, at + P11, load(state, at + P12), (dx1, zero), one)
        _dual(state, at + P21, load(state, at + P22), (dx2, zero), one)


@kernel
def iterate(state, layout, tau, count):
    """Run `count` iterations in place, each following its predecessor one row behind.

    Iteration j may update row y - 1 as soon as iteration j - 1 has updated row y, so all of them
    advance together, _MAX_DEPTH at most, and only as many rows need to stay in the cache.
    """
    while count > 0:
        depth = min(count, _MAX_DEPTH)
        _advance(state, layout, tau, depth)
        count -= depth


@kernel
def _advance(state, layout, tau, depth):
    height, width, blocks, stride = layout
    edge = _edge(width, blocks)
    for front in range(height + depth):
        for y in range(min(front, height), max(front - depth, -1), -1):
            row = (y + 1) * stride
            if y == 0:
                _first_row(state, row, edge, blocks, tau, None)
            elif y < height:
                _inner_row(state, row, stride, edge, blocks, tau, None)
            else:
                _last_dual_row(state, row - stride, blocks)


@kernel
def iterate_until(state, layout, tau, limit, count, mask):
    """Run up to `count` iterations, stopping after the one whose change is at most `limit`.

    Returns the last sum of |u_new - u|^2, in scaled units, added in float64 per row (OpenCV adds
    all pixels one by one in float32): over all pixels, or over as many rows as take it beyond
    limit, since the rest cannot change the decision. mask is 1 in columns, 0 in padding.
    """
    height, width, blocks, stride = layout
    edge = _edge(width, blocks)
    error = np.inf
    for _ in range(count):
        error = reduce_add(_first_row(state, stride, edge, blocks, tau, mask))
        num_summed = 1
        while num_summed < height and error <= limit:
            row = (num_summed + 1) * stride
            error += reduce_add(_inner_row(state, row, stride, edge, blocks, tau, mask))
            num_summed += 1
        for y in range(num_summed, height):
            _inner_row(state, (y + 1) * stride, stride, edge, blocks, tau, None)
        _last_dual_row(state, height * stride, blocks)
        if error <= limit:
            break
    return error
