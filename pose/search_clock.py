"""When to search a clip for people again: the sooner, the more the picture changes."""

import cv2
import numpy as np
import numpy.typing as npt

_THUMBNAIL = (32, 24)  # width, height
_STEP = 4  # pixels; every one would cost more than following a person but for the model
_CUT_LEVELS = 40.0  # a mean change of so many grey levels from one frame to the next is a cut


class SearchClock:
    """Says for every frame of a clip whether people are searched for in it.

    Args:
        most_frames: Search at the latest so many frames after the last search. >= 1.
        change_levels: Search as soon as the changes from frame to frame since the last search,
            each the mean absolute difference in grey levels, add up to this. > 0.
    """

    def __init__(self, *, most_frames: int, change_levels: float) -> None:
        self._most_frames = most_frames
        self._change_levels = change_levels
        self._last: npt.NDArray[np.float32] | None = None
        self._changed_levels = 0.0
        self._frames_left = 0

    def is_due(self, frame: npt.NDArray[np.uint8]) -> bool:
        """Take the next frame, uint8 [H, W, 3], and say whether to search in it."""
        some = frame[::_STEP, ::_STEP]
        small = cv2.resize(some, _THUMBNAIL, interpolation=cv2.INTER_AREA)
        thumbnail = small.astype(np.float32).mean(axis=-1)
        change = 0.0 if self._last is None else float(np.abs(thumbnail - self._last).mean())
        self._last = thumbnail
        self._changed_levels += change
        is_due = (
            self._frames_left <= 0
            or change >= _CUT_LEVELS
            or self._changed_levels >= self._change_levels
        )
        if is_due:
            self._frames_left, self._changed_levels = self._most_frames, 0.0
        self._frames_left -= 1
        return is_due

    def search_within(self, num_frames: int) -> None:
        """Search at the latest in the n-th of the next frames, whatever they show."""
        self._frames_left = min(self._frames_left, num_frames - 1)
