"""From the frames of a file to frames at a constant rate: exact, and like ffmpeg's `fps` filter."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor


class PresentationClock:
    """Gives every decoded frame a presentation time; times always grow.

    Decoder output order is the truth. A frame without a usable time stamp (none, or not later
    than its predecessor's) comes one step after its predecessor.

    Args:
        default_step_seconds: Step where a frame states no duration of its own. > 0.
    """

    def __init__(self, *, default_step_seconds: Fraction) -> None:
        self._default_step = default_step_seconds
        self._last: Fraction | None = None
        self._last_step = default_step_seconds

    def time_of(
        self, stamp_seconds: Fraction | None, duration_seconds: Fraction | None
    ) -> Fraction:
        """Return the presentation time in seconds of the next frame in decoder order."""
        if self._last is None:
            time = stamp_seconds if stamp_seconds is not None else Fraction(0)
        elif stamp_seconds is not None and stamp_seconds > self._last:
            time = stamp_seconds
        else:
            time = self._last + self._last_step
        self._last = time
        self._last_step = duration_seconds or self._default_step
        return time

    @property
    def end_seconds(self) -> Fraction:
        """Time at which the last frame ends; 0 before any frame."""
        return Fraction(0) if self._last is None else self._last + self._last_step


@dataclass(frozen=True, slots=True)
class Slots:
    """Output frames that show one source frame."""

    start: int
    """First of them, as position on the output grid."""
    stop: int
    """Position after the last of them. A damaged time stamp can put it aeons away."""
    source: int
    """Index of the source frame."""

    @property
    def num_slots(self) -> int:
        """Number of output frames."""
        return self.stop - self.start

    def __iter__(self) -> Iterator[int]:
        """Yield the positions in order."""
        return iter(range(self.start, self.stop))


class FrameSelector:
    """Picks the source frame of every output frame, one source frame at a time.

    Output frame n shows the last source frame whose time, rounded to the nearest multiple of
    1 / fps, is not after n / fps; frames are dropped or repeated accordingly. Without a range
    this is ffmpeg's filter `fps=fps:round=near:eof_action=round`, except that a video too
    short for one output frame still gives one.

    Args:
        fps: Output frames per second. > 0.
        start_seconds: First instant wanted, from the first source frame on. None = 0.
        end_seconds: First instant not wanted any more. None = to the end.
    """

    def __init__(
        self,
        *,
        fps: Fraction,
        start_seconds: Fraction | None = None,
        end_seconds: Fraction | None = None,
    ) -> None:
        self._fps = fps
        self._first = ceil((start_seconds or Fraction(0)) * fps)
        self._stop = None if end_seconds is None else ceil(end_seconds * fps)
        self._origin: int | None = None
        self._held = -1
        self._next = self._first
        self._is_whole = start_seconds is None and end_seconds is None

    def _grid(self, time_seconds: Fraction) -> int:
        """Nearest grid position of a time, halves up, counted from the first frame's."""
        position = floor(time_seconds * self._fps + Fraction(1, 2))
        if self._origin is None:
            self._origin = position
        return position - self._origin

    def _until(self, position: int) -> Slots:
        """Slots before `position` that the held frame fills."""
        stop = position if self._stop is None else min(position, self._stop)
        slots = Slots(self._next, max(self._next, stop), self._held)
        self._next = slots.stop
        return slots

    def push(self, time_seconds: Fraction) -> Slots:
        """Take the time of the next source frame; return the slots its predecessor fills."""
        position = self._grid(time_seconds)
        slots = self._until(position) if self._held >= 0 else self._no_slots()
        self._held += 1
        return slots

    @property
    def is_done(self) -> bool:
        """Whether no later source frame can fill a slot."""
        return self._stop is not None and self._next >= self._stop

    def finish(self, end_seconds: Fraction) -> Slots:
        """Return the slots that the last source frame fills; `end_seconds` = where it ends."""
        if self._held < 0:
            return self._no_slots()
        position = self._grid(end_seconds)
        if self._is_whole and self._next == self._first:
            position = max(position, self._first + 1)
        return self._until(position)

    def _no_slots(self) -> Slots:
        return Slots(self._next, self._next, self._held)
