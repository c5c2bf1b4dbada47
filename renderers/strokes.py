"""Draw thick anti-aliased strokes with round ends from their distance field."""

import math

import cv2
import numpy as np
import numpy.typing as npt

from schemas.checks import check_array

Float32 = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


def draw_strokes(
    frame: UInt8,
    segments: Float32,
    radii: Float32,
    colors: UInt8,
) -> UInt8:
    """Return the frame with strokes drawn over it, the last on top.

    A pixel's coverage is `clip(radius + 0.5 - distance, 0, 1)` with the distance from the pixel
    centre to the segment: exact in position, and pixels farther than radius + 0.5 keep their value.
    OpenCV's anti-aliased polygons cover 26% too much on average at radii of 1 to 6 pixels.

    Args:
        frame: uint8 [H, W, 3]. Not modified.
        segments: float32 [N, 2, 2], ends (x, y) in pixels; pixel centres are integers. Finite.
            A segment of length zero is a disc.
        radii: float32 [N], pixels; half the thickness.
        colors: uint8 [N, 3], in the channel order of the frame.

    Returns:
        uint8 [H, W, 3].

    Raises:
        TypeError: If an argument is not an array.
        ValueError: If an argument has another dtype or shape than stated.
    """
    num_strokes = len(segments)
    check_array("frame", frame, dtype=np.uint8, axes="H W C", C=3)
    check_array("segments", segments, dtype=np.float32, axes="N E C", E=2, C=2)
    check_array("radii", radii, dtype=np.float32, axes="N", N=num_strokes)
    check_array("colors", colors, dtype=np.uint8, axes="N C", N=num_strokes, C=3)
    if num_strokes == 0:
        return frame.copy()
    canvas = np.array(cv2.split(frame), np.float32)  # [3, H, W]: blends run along rows
    inks = colors.astype(np.float32)[:, :, None, None]
    for stroke in zip(*_geometry(segments, radii), radii.tolist(), inks, strict=True):
        _paint_stroke(canvas, *stroke)
    canvas += np.float32(0.5)
    merged: UInt8 = cv2.merge(list(canvas.astype(np.uint8)))
    return merged


def _geometry(segments: Float32, radii: Float32) -> tuple[list[list[float]], list[list[int]]]:
    """Return (middle x, y, half step x, y) and (x0, y0, x1, y1) of the pixels for each stroke."""
    middle = segments.mean(axis=1)
    half_step = (segments[:, 1] - segments[:, 0]) / 2
    reach = np.abs(half_step) + (radii[:, None] + np.float32(0.5))
    bounds = np.concatenate([np.ceil(middle - reach), np.floor(middle + reach) + 1], axis=1)
    lines = np.concatenate([middle, half_step], axis=1)
    return lines.tolist(), np.maximum(bounds, 0).astype(np.int64).tolist()


def _paint_stroke(
    canvas: Float32, line: list[float], bounds: list[int], radius: float, ink: Float32
) -> None:
    """Blend one stroke into canvas [3, H, W] in place."""
    x0, y0, x1, y1 = bounds
    patch = canvas[:, y0:y1, x0:x1]
    middle_x, middle_y, half_x, half_y = line
    x = np.arange(x0, x0 + patch.shape[2], dtype=np.float32)
    y = np.arange(y0, y0 + patch.shape[1], dtype=np.float32)[:, None]
    x -= middle_x
    y -= middle_y
    coverage = _coverage(x, y, half_x, half_y, radius)
    patch += coverage * (ink - patch)


def _coverage(x: Float32, y: Float32, half_x: float, half_y: float, radius: float) -> Float32:
    """Return float32 [h, w], 0 to 1: pixel x [w], y [h, 1] relative to the stroke's middle."""
    half = math.hypot(half_x, half_y)
    unit_x, unit_y = (half_x / half, half_y / half) if half > 0 else (1.0, 0.0)
    along = x * unit_x + y * unit_y
    across = x * unit_y - y * unit_x
    np.abs(along, out=along)
    along -= half
    np.maximum(along, 0, out=along)
    along *= along
    across *= across
    along += across
    distance = np.sqrt(along, out=along)
    np.subtract(radius + 0.5, distance, out=distance)
    coverage: Float32 = np.minimum(np.maximum(distance, 0, out=distance), 1, out=distance)
    return coverage
