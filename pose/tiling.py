"""Find people of all sizes: look at the whole frame and at overlapping square tiles of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pose.estimator import FramePoses, merge_frame_poses

DetectPeople = Callable[[npt.NDArray[np.uint8]], FramePoses]
"""Square image uint8 [S, S, 3] RGB in, people in pixels of that image out."""


@dataclass(frozen=True, slots=True)
class Square:
    """A square piece of a frame; it may reach beyond the frame."""

    left: int
    top: int
    side: int


def whole_frame(*, width: int, height: int) -> Square:
    """Return the smallest square around a frame, with the frame in its middle."""
    side = max(width, height)
    return Square((width - side) // 2, (height - side) // 2, side)


def tile_squares(
    *, width: int, height: int, tiles_across: int, overlap: float
) -> tuple[Square, ...]:
    """Return a grid of squares that covers the frame, row by row.

    Args:
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        tiles_across: How often the side of a square fits into the shorter side of the frame.
        overlap: Least part of a side that neighbours share, 0 to under 1.

    Returns:
        Squares inside of the frame; none if tiles_across is 0.
    """
    if tiles_across == 0:
        return ()
    side = max(min(width, height) // tiles_across, 1)
    step = max(side * (1 - overlap), 1)
    rows, columns = _starts(height, side, step), _starts(width, side, step)
    return tuple(Square(left, top, side) for top in rows for left in columns)


def square_around(box: npt.NDArray[np.float32], *, scale: float) -> Square:
    """Return the square with the centre of a box and `scale` times its longer side.

    Args:
        box: float32 [4], (x0, y0, x1, y1) in pixels.
        scale: Side of the square over the longer side of the box.
    """
    x0, y0, x1, y1 = (float(value) for value in box)
    side = max(round(max(x1 - x0, y1 - y0) * scale), 1)
    return Square(round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2), side)


def cut_square(frame: npt.NDArray[np.uint8], square: Square) -> npt.NDArray[np.uint8]:
    """Return uint8 [S, S, 3]: the square out of a frame [H, W, 3], black outside of the frame."""
    height, width = frame.shape[:2]
    piece = np.zeros((square.side, square.side, 3), np.uint8)
    top, left = max(square.top, 0), max(square.left, 0)
    bottom = min(square.top + square.side, height)
    right = min(square.left + square.side, width)
    if top < bottom and left < right:
        inside = frame[top:bottom, left:right]
        piece[top - square.top : bottom - square.top, left - square.left : right - square.left] = (
            inside
        )
    return piece


def detect_in_square(
    frame: npt.NDArray[np.uint8], square: Square, detect: DetectPeople
) -> FramePoses:
    """Return the people that `detect` sees in one square, in pixels of the frame.

    Args:
        frame: uint8 [H, W, 3] RGB. Not modified.
        square: Where to look.
        detect: Finds people in a square image.

    Returns:
        People with keypoints outside of the frame at score 0 and boxes clipped to the frame.
    """
    found = detect(cut_square(frame, square))
    shift = np.array([square.left, square.top], np.float32)
    keypoints = found.keypoints + shift
    height, width = frame.shape[:2]
    limit = np.array([width, height], np.float32) - np.float32(0.5)
    inside = ((keypoints >= -0.5) & (keypoints <= limit)).all(axis=-1)
    moved = (found.boxes.reshape(-1, 2, 2) + shift).clip(np.float32(-0.5), limit)
    return FramePoses(
        keypoints=keypoints,
        scores=found.scores * inside,
        boxes=moved.reshape(-1, 4),
        box_scores=found.box_scores,
    )


def detect_in_squares(
    frame: npt.NDArray[np.uint8], squares: tuple[Square, ...], detect: DetectPeople
) -> FramePoses:
    """Return the people of all squares, duplicates included, in pixels of the frame."""
    return merge_frame_poses(detect_in_square(frame, square, detect) for square in squares)


def _starts(length: int, side: int, step: float) -> list[int]:
    """Evenly spaced first pixels, so that pieces of `side` cover `length`."""
    count = math.ceil(max(length - side, 0) / step) + 1
    return [round(index * (length - side) / max(count - 1, 1)) for index in range(count)]
