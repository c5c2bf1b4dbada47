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
def norm_of_filters(planes, weights, response, norm):
    """Fill norm, float32 [H, W], with the 2-norm over any filters, float32 [K, 3, 7, 7].

    `response` is room for one row, float32 [W].
    """
    height, width = norm.shape
    for y in range(height):
        total = norm[y]
        total[:] = _f(0)
        for filter_weights in weights:
            response[:] = _EPSILON
            for plane in range(3):
                for j in range(7):
                    _add_row(planes[plane, y + j], filter_weights[plane, j], response)
            for x in range(width):
                total[x] += response[x] * response[x]
        for x in range(width):
            total[x] = np.sqrt(total[x])


@kernel_fused
def _add_row(row, taps, response):
    """Add the correlation of a row, float32 [W + 6], with seven taps to response [W]."""
    a, b, c, d, e, f, g = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5], taps[6]
    for x in range(len(response)):
        left = a * row[x] + b * row[x + 1] + c * row[x + 2]
        right = e * row[x + 4] + f * row[x + 5] + g * row[x + 6]
        response[x] += left + d * row[x + 3] + right


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
            _filter_columns(planes[0], y, taps[vertical], filtered)
            for horizontal in range(3 - vertical):
                _add_square(filtered, taps[horizontal], total)
        for plane in range(1, 3):
            _filter_columns(planes[plane], y, taps[0], filtered)
            _add_square(filtered, taps[0], total)
        for x in range(len(total)):
            total[x] = np.sqrt(total[x])


@kernel_fused
def _filter_columns(plane, y, taps, filtered):
    """Fill filtered, float32 [W + 6], with the vertical correlation at row y of a plane."""
    a, b, c, d, e, f, g = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5], taps[6]
    row0, row1, row2, row3 = plane[y], plane[y + 1], plane[y + 2], plane[y + 3]
    row4, row5, row6 = plane[y + 4], plane[y + 5], plane[y + 6]
    for x in range(len(filtered)):
        above = a * row0[x] + b * row1[x] + c * row2[x]
        below = e * row4[x] + f * row5[x] + g * row6[x]
        filtered[x] = above + d * row3[x] + below


@kernel_fused
def _add_square(row, taps, total):
    """Add the square of epsilon + the correlation of a row, [W + 6], with taps to total, [W]."""
    a, b, c, d, e, f, g = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5], taps[6]
    for x in range(len(total)):
        left = a * row[x] + b * row[x + 1] + c * row[x + 2]
        right = e * row[x + 4] + f * row[x + 5] + g * row[x + 6]
        response = _EPSILON + left + d * row[x + 3] + right
        total[x] += response * response
