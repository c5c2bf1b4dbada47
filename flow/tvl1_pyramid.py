"""Image pyramids and resampling for TV-L1, both kinds; any CPU.

`exact` follows OpenCV: plain bilinear resize by 0.8. `quality` and `fast` halve after the filter
[1 3 3 1] / 8, which keeps what the coarse grid cannot show from folding into it.
"""

import numpy as np
import numpy.typing as npt

from flow.jit import kernel

Plane = npt.NDArray[np.float32]
PAD = 4
"""Pixels around a padded plane; one more to the right."""


@kernel
def halve(image, half, line):
    """Filter by [1 3 3 1] / 8 along both axes and keep every other pixel; border repeated.

    image is [H, W], half is [ceil(H / 2), ceil(W / 2)], line is scratch [W]. Pixel (Y, X) of half
    lies at (2 Y + 0.5, 2 X + 0.5).
    """
    height, width = image.shape
    eighth = np.float32(0.125)
    three = np.float32(3)
    for y in range(half.shape[0]):
        row0, row1 = image[max(2 * y - 1, 0)], image[2 * y]
        row2, row3 = image[min(2 * y + 1, height - 1)], image[min(2 * y + 2, height - 1)]
        for x in range(width):
            near = np.float32(row1[x]) + np.float32(row2[x])
            line[x] = eighth * (np.float32(row0[x]) + three * near + np.float32(row3[x]))
        for x in range(1, (width - 1) // 2):
            near = line[2 * x] + line[2 * x + 1]
            half[y, x] = eighth * (line[2 * x - 1] + three * near + line[2 * x + 2])
        for x in (0, (width - 1) // 2, half.shape[1] - 1):
            near = line[2 * x] + line[min(2 * x + 1, width - 1)]
            ends = line[max(2 * x - 1, 0)] + line[min(2 * x + 2, width - 1)]
            half[y, x] = eighth * (ends + three * near)


@kernel
def resize(image, columns, rows, resized):
    """Resize [h, w] to [H, W] bilinearly: pixel (y, x) lies at (rows[y], columns[x])."""
    source_height, source_width = image.shape
    height, width = resized.shape
    lefts = columns.astype(np.intp)
    line = np.empty(source_width + 1, np.float32)
    for y in range(height):
        top = int(rows[y])
        down = rows[y] - np.float32(top)
        above, below = image[top], image[min(top + 1, source_height - 1)]
        for x in range(source_width):
            line[x] = above[x] + down * (below[x] - above[x])
        line[source_width] = line[source_width - 1]
        for x in range(width):
            left = np.uintp(lefts[x])
            across = columns[x] - np.float32(lefts[x])
            resized[y, x] = line[left] + across * (line[left + np.uintp(1)] - line[left])


def source_positions(pixels: npt.NDArray[np.int64], source_length: int, ratio: float) -> Plane:
    """Return where pixels lie in a source with `ratio` pixels for each, inside its centres."""
    at = np.clip((pixels + 0.5) * ratio - 0.5, 0, source_length - 1)
    positions: Plane = at.astype(np.float32)
    return positions


@kernel
def pad_repeat(image, padded):
    """Copy [H, W] into [H + 2 PAD, W + 2 PAD + 1], repeating the border."""
    height, width = image.shape
    for y in range(padded.shape[0]):
        row, to = image[min(max(y - PAD, 0), height - 1)], padded[y]
        for x in range(width):
            to[x + PAD] = row[x]
        for x in range(PAD):
            to[x] = row[0]
        for x in range(width + PAD, padded.shape[1]):
            to[x] = row[width - 1]


@kernel
def pad_zero_with_gradient(image, padded):
    """Copy [H, W] and its central differences into [3, H + 2 PAD, W + 2 PAD + 1], zero around.

    Half of the one-sided difference at the border, as OpenCV has it.
    """
    height, width = image.shape
    half = np.float32(0.5)
    padded[:] = np.float32(0)
    for y in range(height):
        above, row, below = image[max(y - 1, 0)], image[y], image[min(y + 1, height - 1)]
        for x in range(width):
            padded[0, y + PAD, x + PAD] = row[x]
            padded[1, y + PAD, x + PAD] = half * (row[min(x + 1, width - 1)] - row[max(x - 1, 0)])
            padded[2, y + PAD, x + PAD] = half * (below[x] - above[x])
