"""Which frames of a clip are taken: one window in time, or one in each part of the clip."""

from typing import Literal

import numpy as np
import numpy.typing as npt

Padding = Literal["last", "both"]
"""How a clip shorter than its window is filled up: by repeating its last frame, or by repeating
its first and its last frame equally often."""

Indices = npt.NDArray[np.int64]


def random_window(
    num_frames: int, window_frames: int, *, padding: Padding, rng: np.random.Generator
) -> Indices:
    """Return consecutive frame indices from a random start.

    Args:
        num_frames: Frames of the clip, >= 1.
        window_frames: Frames to take, >= 1.
        padding: What fills a clip that is too short.
        rng: Draws the start; every start is equally likely.

    Returns:
        int64 [window_frames].

    References:
        Li et al. 2020 (PERF-Net), section 4.1: 64 consecutive frames; a short video is repeated
        at its first or last frame.
    """
    slack = num_frames - window_frames
    start = int(rng.integers(0, slack + 1)) if slack > 0 else 0
    return _window(num_frames, window_frames, start, padding)


def spaced_window(
    num_frames: int, window_frames: int, *, padding: Padding, view: int = 0, num_views: int = 1
) -> Indices:
    """Return the consecutive frame indices of one of several evenly spaced windows.

    Args:
        num_frames: Frames of the clip, >= 1.
        window_frames: Frames to take, >= 1.
        padding: What fills a clip that is too short.
        view: Which window, 0 <= view < num_views.
        num_views: Windows over the clip, the first at its start and the last at its end; the only
            one is central.

    Returns:
        int64 [window_frames].
    """
    slack = max(0, num_frames - window_frames)
    start = slack // 2 if num_views == 1 else round(slack * view / (num_views - 1))
    return _window(num_frames, window_frames, start, padding)


def random_segments(
    num_frames: int,
    window_frames: int,
    *,
    num_segments: int,
    padding: Padding,
    rng: np.random.Generator,
) -> Indices:
    """Return adjacent frame indices from a random place in each of several equal parts of a clip.

    Args:
        num_frames: Frames of the clip, >= 1.
        window_frames: Frames to take, a multiple of num_segments.
        num_segments: Parts, >= 1.
        padding: What fills a clip that is shorter than the frames of one part.
        rng: Draws a place in every part.

    Returns:
        int64 [window_frames]: part after part. Parts of a short clip overlap.

    References:
        Wang et al. 2016 (TSN), section 3.1; with adjacent frames, Zhang et al. 2020 (PAN).
    """
    places = rng.uniform(size=num_segments)
    return _segments(num_frames, window_frames, places, padding)


def spaced_segments(
    num_frames: int,
    window_frames: int,
    *,
    num_segments: int,
    padding: Padding,
    view: int = 0,
    num_views: int = 1,
) -> Indices:
    """Return adjacent frame indices from the same place in each of several equal parts of a clip.

    Args:
        num_frames: Frames of the clip, >= 1.
        window_frames: Frames to take, a multiple of num_segments.
        num_segments: Parts, >= 1.
        padding: What fills a clip that is shorter than the frames of one part.
        view: Which place, 0 <= view < num_views.
        num_views: Places, evenly spaced over a part; the only one is its middle.

    Returns:
        int64 [window_frames]: part after part. Parts of a short clip overlap.
    """
    places = np.full(num_segments, (view + 0.5) / num_views)
    return _segments(num_frames, window_frames, places, padding)


def _segments(
    num_frames: int, window_frames: int, places: npt.NDArray[np.float64], padding: Padding
) -> Indices:
    """`places` float64 [segments]: from the start (0) to the end (1, exclusive) of each part."""
    each = window_frames // len(places)
    num_starts = max(1, num_frames - each + 1)  # the parts are equal parts of all starts
    starts = (np.arange(len(places)) + places) * num_starts / len(places)
    return np.concatenate([_window(num_frames, each, int(start), padding) for start in starts])


def _window(num_frames: int, window_frames: int, start: int, padding: Padding) -> Indices:
    missing = max(0, window_frames - num_frames)
    before = missing // 2 if padding == "both" else 0
    indices: Indices = np.arange(window_frames, dtype=np.int64) + start - before
    return np.clip(indices, 0, num_frames - 1)
