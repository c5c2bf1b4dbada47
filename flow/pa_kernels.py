"""Persistence of appearance of one pair of frames: loops that LLVM turns into vectors.

Convolution is linear and the bias is the same in both frames, so the difference of the frames is
convolved, once. It is kept in planes with a border of zeros, which is the padding of the layer.
"""

import numpy as np

from flow.jit import kernel_fused

BORDER_PX = 3
"""Zeros around the planes: half of a filter of 7 pixels."""

_EPSILON = np.float32(1e-6)
_f = np.float32


@kernel_fused
def subtract_frames(frame0, frame1, colors, planes):
    """Fill float32 planes [3, H + 6, W + 6] with frame0 - frame1 in other colours.

    Frames are uint8 [H, W, 3]; row n of colors, float32 [3, 3], weighs R, G and B for plane n.
    """
    height, width, _ = frame0.shape
    a, b, c = colors[0, 0], colors[0, 1], colors[0, 2]
    d, e, f = colors[1, 0], colors[1, 1], colors[1, 2]
    g, h, i = colors[2, 0], colors[2, 1], colors[2, 2]
    for y in range(height):
        first, second = planes[0, y + BORDER_PX], planes[1, y + BORDER_PX]
        third = planes[2, y + BORDER_PX]
        for x in range(width):
            red = _f(np.int32(frame0[y, x, 0]) - np.int32(frame1[y, x, 0]))
            green = _f(np.int32(frame0[y, x, 1]) - np.int32(frame1[y, x, 1]))
            blue = _f(np.int32(frame0[y, x, 2]) - np.int32(frame1[y, x, 2]))
            first[x + BORDER_PX] = a * red + b * green + c * blue
            second[x + BORDER_PX] = d * red + e * green + f * blue
            third[x + BORDER_PX] = g * red + h * green + i * blue


@kernel_fused
def _seven(values, start):
    """Seven values of an array as a tuple, which the compiler keeps in registers."""
    return (
        values[start],
        values[start + 1],
        values[start + 2],
        values[start + 3],
        values[start + 4],
        values[start + 5],
        values[start + 6],
    )


@kernel_fused
def _dot(a, b):
    """The scalar product of two tuples of seven."""
    left = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    right = a[4] * b[4] + a[5] * b[5] + a[6] * b[6]
    return left + a[3] * b[3] + right


@kernel_fused
def norm_of_filters(planes, weights, responses, norm):
    """Fill norm, float32 [H, W], with the 2-norm over any filters, float32 [8, 3, 7, 7].

    `responses` is room for a row of four filters, float32 [4, W].
    """
    height, width = norm.shape
    for y in range(height):
        total = norm[y]
        total[:] = _f(0)
        for group in range(0, len(weights), 4):
            responses[:] = _EPSILON
            for plane in range(3):
                for j in range(7):
                    _add_row(planes[plane, y + j], weights[group : group + 4, plane, j], responses)
            for response in responses:
                for x in range(width):
                    total[x] += response[x] * response[x]
        for x in range(width):
            total[x] = np.sqrt(total[x])


@kernel_fused
def _add_row(row, weights, responses):
    """Add the correlations of a row, [W + 6], with four times seven taps to responses, [4, W].

    Four at a time, as each pixel loaded then serves four products.
    """
    a, b, c, d = (
        _seven(weights[0], 0),
        _seven(weights[1], 0),
        _seven(weights[2], 0),
        _seven(weights[3], 0),
    )
    first, second, third, fourth = responses[0], responses[1], responses[2], responses[3]
    for x in range(len(first)):
        pixels = _seven(row, x)
        first[x] += _dot(pixels, a)
        second[x] += _dot(pixels, b)
        third[x] += _dot(pixels, c)
        fourth[x] += _dot(pixels, d)


@kernel_fused
def norm_of_jet(planes, taps, filtered, norm):
    """Fill norm, float32 [H, W], with the 2-norm over the local jet of `flow.pa.default_weights`.

    The planes are luma and two differences of colour; taps, float32 [3, 7], are the Gaussian and
    its first and second derivative; `filtered` is room for a row, float32 [W + 6].
    """
    for y in range(len(norm)):
        total = norm[y]
        total[:] = _f(0)
        for vertical in range(3):  # of luma, all derivatives that are of order two at most
            _filter_columns(planes[0, y : y + 7], taps[vertical], filtered)
            for horizontal in range(3 - vertical):
                _add_square(filtered, taps[horizontal], total)
        for plane in range(1, 3):
            _filter_columns(planes[plane, y : y + 7], taps[0], filtered)
            _add_square(filtered, taps[0], total)
        for x in range(len(total)):
            total[x] = np.sqrt(total[x])


@kernel_fused
def _filter_columns(rows, taps, filtered):
    """Fill filtered, float32 [W + 6], with the correlation of seven rows with seven taps."""
    kept = _seven(taps, 0)
    a, b, c, d, e, f, g = _seven(rows, 0)
    for x in range(len(filtered)):
        filtered[x] = _dot((a[x], b[x], c[x], d[x], e[x], f[x], g[x]), kept)


@kernel_fused
def _add_square(row, taps, total):
    """Add the square of epsilon + the correlation of a row, [W + 6], with taps to total, [W]."""
    kept = _seven(taps, 0)
    for x in range(len(total)):
        response = _EPSILON + _dot(_seven(row, x), kept)
        total[x] += response * response
