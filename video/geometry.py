"""Display geometry: rotation, square pixels, short side, resampling."""

from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt

from schemas.checks import check_array


def display_size(
    width: int, height: int, *, pixel_aspect: Fraction, rotation: int, short_side: int
) -> tuple[int, int]:
    """Return (width, height) of the frame shown with square pixels and the given short side.

    Args:
        width: Coded width in pixels. > 0.
        height: Coded height in pixels. > 0.
        pixel_aspect: Width of a coded pixel over its height.
        rotation: Degrees counter-clockwise, a multiple of 90.
        short_side: Length in pixels of the shorter side of the result; the longer side keeps
            the aspect ratio, rounded to the nearest pixel.
    """
    shown_width, shown_height = _shown(width, height, pixel_aspect, rotation)
    scale = short_side / min(shown_width, shown_height)
    return max(1, round(shown_width * scale)), max(1, round(shown_height * scale))


def shown_size(
    width: int, height: int, *, pixel_aspect: Fraction, rotation: int
) -> tuple[int, int]:
    """Return (width, height) of the frame shown with square pixels at its own height.

    Args:
        width: Coded width in pixels. > 0.
        height: Coded height in pixels. > 0.
        pixel_aspect: Width of a coded pixel over its height.
        rotation: Degrees counter-clockwise, a multiple of 90.
    """
    shown_width, shown_height = _shown(width, height, pixel_aspect, rotation)
    return max(1, round(shown_width)), max(1, round(shown_height))


def _shown(
    width: int, height: int, pixel_aspect: Fraction, rotation: int
) -> tuple[Fraction, Fraction]:
    wide, high = width * pixel_aspect, Fraction(height)
    return (high, wide) if rotation % 180 else (wide, high)


def fit_frame(
    frame: npt.NDArray[np.uint8], *, rotation: int, size: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """Turn a decoded frame upright and resample it to `size`.

    Shrinking averages over source pixels (no aliasing), enlarging is bilinear.

    Args:
        frame: uint8 [H, W, 3]. Not modified.
        rotation: Degrees counter-clockwise, a multiple of 90.
        size: (width, height) of the result in pixels.

    Returns:
        uint8 [height, width, 3], contiguous.

    Raises:
        ValueError: If frame is not uint8 [H, W, 3].
    """
    check_array("frame", frame, dtype=np.uint8, axes="H W C", C=3)
    upright = np.ascontiguousarray(np.rot90(frame, rotation // 90))
    height, width = upright.shape[:2]
    if (width, height) == size:
        return upright
    shrinks = size[0] <= width and size[1] <= height
    resized: npt.NDArray[np.uint8] = cv2.resize(
        upright, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return resized
