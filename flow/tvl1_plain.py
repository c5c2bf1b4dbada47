"""TV-L1 in plain loops: the specification of the SIMD kernels, and the fallback without SIMD.

Names against Zach, Pock, Bischof 2007 ("A Duality Based Approach for Realtime TV-L1 Optical
Flow") and Sanchez, Meinhardt-Llopis, Facciolo 2013 ("TV-L1 Optical Flow Estimation", IPOL):

```
flow       u      what is sought, [2, H, W]
v                 the auxiliary flow, coupled to u by |u - v|^2 / (2 theta); never stored
gradient   grad I1(x + u0), [2, H, W]
constant   rho(u) - <grad I1, u>, the part of (2) that does not depend on u, [H, W]
dual       p      dual variables of both components, [2, 2, H, W] (component, direction)
attachment lambda     tightness theta     time_step tau
```

The equations, in the order in which both papers derive them; the numbers are this project's, and
comments here and in the SIMD and GPU kernels cite them.

```
(1) E(u)    = sum over x of |grad u_1| + |grad u_2| + lambda |rho(u)|        what is minimised
(2) rho(u)  = I1(x + u0) + <grad I1(x + u0), u - u0> - I0(x)                 linearised at u0
(3) E(u, v) = sum of |grad u_1| + |grad u_2| + |u - v|^2 / (2 theta) + lambda |rho(v)|
(4) v       = u + lambda theta grad I1     where rho(u) < - lambda theta |grad I1|^2
            = u - lambda theta grad I1     where rho(u) > + lambda theta |grad I1|^2
            = u - rho(u) grad I1 / |grad I1|^2    elsewhere: minimum of (3) over v
(5) u_d     = v_d + theta div p_d                 minimum of (3) over u, d = 1, 2
(6) p_d     = (p_d + tau / theta grad u_d) / (1 + tau / theta |grad u_d|)    its dual variable
(7) grad: forward differences, 0 beyond the last pixel; div: backward differences, its adjoint
```

A warp takes u0 = u in (2), then repeats (4), (5), (6).
"""

import math

import numpy as np

from flow.jit import kernel
from flow.tvl1_pyramid import PAD

_f = np.float32
_MIN_SQUARED_GRADIENT = np.float32(np.finfo(np.float32).eps)
_SUBPIXELS = np.float32(32)


@kernel
def primal_sweep(flow, dual, gradient, constant, settings):
    """Update v by (4), then u by (5), at every pixel; return the sum of |u_new - u|^2 (float64).

    settings is (tau, lambda, theta).
    """
    _, attachment, theta = settings
    limit = attachment * theta
    height, width = constant.shape
    change = 0.0
    for y in range(height):
        for x in range(width):
            gx, gy = gradient[0, y, x], gradient[1, y, x]
            u1, u2 = flow[0, y, x], flow[1, y, x]
            squared = max(gx * gx + gy * gy, _MIN_SQUARED_GRADIENT)
            rho = constant[y, x] + gx * u1 + gy * u2
            # (4), v = u + step grad I1: the three cases are one clamp.
            step = min(max(-rho / squared, -limit), limit)
            # Equation (5): u from v.
            new1 = u1 + step * gx + theta * _divergence(dual[0], y, x)
            new2 = u2 + step * gy + theta * _divergence(dual[1], y, x)
            change += np.float64(new1 - u1) ** 2 + np.float64(new2 - u2) ** 2
            flow[0, y, x], flow[1, y, x] = new1, new2
    return change


@kernel
def _divergence(p, y, x):
    """Div p of (7): backward differences, p = 0 left of and above the image."""
    left = p[0, y, x - 1] if x > 0 else _f(0)
    above = p[1, y - 1, x] if y > 0 else _f(0)
    return (p[0, y, x] - left) + (p[1, y, x] - above)


@kernel
def dual_sweep(flow, dual, settings):
    """Update p by (6), with the forward differences of (7)."""
    tau, _, theta = settings
    step = tau / theta
    _, height, width = flow.shape
    for component in range(2):
        u, p = flow[component], dual[component]
        for y in range(height):
            for x in range(width):
                dx = step * (u[y, x + 1] - u[y, x]) if x + 1 < width else _f(0)
                dy = step * (u[y + 1, x] - u[y, x]) if y + 1 < height else _f(0)
                norm = _f(1) + _f(math.sqrt(dx * dx + dy * dy))
                p[0, y, x] = (p[0, y, x] + dx) / norm
                p[1, y, x] = (p[1, y, x] + dy) / norm


@kernel
def cubic_weights(f, a):
    """Weights of the four taps around a sample at fraction f, cubic convolution (Keys 1981)."""
    g = _f(1) - f
    second = ((a + _f(2)) * f - (a + _f(3))) * f * f + _f(1)
    third = ((a + _f(2)) * g - (a + _f(3))) * g * g + _f(1)
    first = a * f * g * g
    return first, second, third, _f(1) - first - second - third


@kernel
def slope_weights(f):
    """Weights of the four taps for the derivative: central differences, interpolated linearly."""
    first = _f(-0.5) * (_f(1) - f)
    second = _f(-0.5) * f
    return first, second, -first, -second


@kernel
def _dot(padded, y, x, across, down):
    """Sum of 4x4 pixels from (y - 1, x - 1) on, weighted along both axes."""
    total = _f(0)
    for row in range(4):
        line = padded[y + row + PAD - 1]
        at = x + PAD - 1
        sum_x = line[at] * across[0] + line[at + 1] * across[1]
        sum_x += line[at + 2] * across[2] + line[at + 3] * across[3]
        total += sum_x * down[row]
    return total


@kernel
def linearise(flow, image0, padded1, gradient, constant):
    """Linearise by (2): sample frame1 and its gradient at x + u; beyond the border it repeats."""
    height, width = image0.shape
    for y in range(height):
        for x in range(width):
            u1, u2 = flow[0, y, x], flow[1, y, x]
            at_x = min(max(_f(x) + u1, _f(-2)), _f(width + 1))
            at_y = min(max(_f(y) + u2, _f(-2)), _f(height + 1))
            left, top = math.floor(at_x), math.floor(at_y)
            part_x, part_y = at_x - _f(left), at_y - _f(top)
            across, down = cubic_weights(part_x, _f(-0.5)), cubic_weights(part_y, _f(-0.5))
            value = _dot(padded1, top, left, across, down)
            gx = _dot(padded1, top, left, slope_weights(part_x), down)
            gy = _dot(padded1, top, left, across, slope_weights(part_y))
            gradient[0, y, x], gradient[1, y, x] = gx, gy
            constant[y, x] = value - image0[y, x] - gx * u1 - gy * u2


@kernel
def linearise_opencv(flow, image0, planes1, gradient, constant):
    """Linearise by (2): frame1 and its central differences (planes1, zero outside) as cv2.remap.

    Cubic convolution with A = -0.75 at coordinates rounded to 1/32 pixel.
    """
    height, width = image0.shape
    for y in range(height):
        for x in range(width):
            u1, u2 = flow[0, y, x], flow[1, y, x]
            at_x = min(max(_f(x) + u1, _f(-3)), _f(width + 2))
            at_y = min(max(_f(y) + u2, _f(-3)), _f(height + 2))
            at_x, at_y = np.rint(at_x * _SUBPIXELS), np.rint(at_y * _SUBPIXELS)
            at_x, at_y = at_x / _SUBPIXELS, at_y / _SUBPIXELS
            left, top = math.floor(at_x), math.floor(at_y)
            across = cubic_weights(at_x - _f(left), _f(-0.75))
            down = cubic_weights(at_y - _f(top), _f(-0.75))
            value = _dot(planes1[0], top, left, across, down)
            gx = _dot(planes1[1], top, left, across, down)
            gy = _dot(planes1[2], top, left, across, down)
            gradient[0, y, x], gradient[1, y, x] = gx, gy
            constant[y, x] = value - image0[y, x] - gx * u1 - gy * u2


@kernel
def median(plane, filtered):
    """Median over 5x5 windows of [H, W], border repeated."""
    height, width = plane.shape
    window = np.empty(25, np.float32)
    for y in range(height):
        for x in range(width):
            count = 0
            for row in range(y - 2, y + 3):
                for column in range(x - 2, x + 3):
                    inside = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
                    window[count] = plane[inside]
                    count += 1
            filtered[y, x] = np.sort(window)[12]
