"""Decode one clip: frames at 25 fps, upright, square pixels, short side 256."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from schemas.errors import ConfigError, RecordError
from schemas.outcome import Outcome
from video.completeness import describe_loss
from video.decord_source import open_decord
from video.geometry import display_size, fit_frame, shown_size
from video.pyav_source import ReadLimits, check_pixels, open_pyav
from video.source import SourceFrame, VideoInfo, VideoSource
from video.timeline import FrameSelector, Slots

_MIN_SHORT_SIDE = 16  # optical flow needs a few pixels
_TRIM_TOLERANCE_SECONDS = Fraction(2)
_END_TOLERANCE_SECONDS = Fraction(1, 2)
_NOTED_GAP_SECONDS = 10
_LIMITS = ("max_pixels", "max_output_pixels", "max_frames", "max_position_seconds", "max_packets")


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeConfig:
    """How videos become frames."""

    fps: int = 25
    """Output frames per second, selected by presentation time."""
    short_side: int = 256
    """Shorter side of the output frames in pixels, at least 16; the aspect ratio is kept."""
    decoder: Literal["pyav", "decord"] = "pyav"
    """Decoder; decord is used for undamaged H.264 MP4 files only and gives the same pixels."""
    max_pixels: int = 8192 * 8192
    """Largest source frame accepted, in pixels."""
    max_output_pixels: int = 2048 * 2048
    """Largest output frame accepted, in pixels (a 16384x64 strip grows with its short side)."""
    max_frames: int = 15_000
    """Most output frames of one clip (15,000 = 10 minutes)."""
    max_position_seconds: int = 43_200
    """How far into a video a clip may lie, in seconds from its first frame (43,200 = 12 hours)."""
    max_packets: int = 4_000_000
    """Most packets read for one clip; one holds about one frame (4,000,000 = 18 hours at 60/s)."""

    def __post_init__(self) -> None:
        for name in ("fps", "short_side", *_LIMITS):
            if getattr(self, name) < 1:
                raise ConfigError(f"decode.{name} must be >= 1, got {getattr(self, name)}")
        if self.short_side < _MIN_SHORT_SIDE:
            rule = f"decode.short_side must be >= {_MIN_SHORT_SIDE}"
            raise ConfigError(f"{rule}, got {self.short_side}")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DecodedFrame:
    """One output frame."""

    rgb: npt.NDArray[np.uint8]
    """uint8 [H, W, 3]; all frames of a clip have the same size. Repeated frames share it."""
    timestamp_us: int
    """Position on the output grid in microseconds, from the first frame of the file on."""
    source_index: int
    """Index of the source frame in decoder output order."""
    source_timestamp_us: int
    """Presentation time of the source frame in microseconds, as the file states it."""


class ClipDecoder:
    """One clip of an open file; `frames()` may be read once, then the totals are complete."""

    def __init__(self, source: VideoSource, selector: FrameSelector, config: DecodeConfig) -> None:
        self._source = source
        self._selector = selector
        self._config = config
        self._size: tuple[int, int] | None = None
        self._first: SourceFrame | None = None
        self._reached_end = False
        self._longest_hold = Slots(0, 0, 0)
        self.num_decoded = 0
        """Source frames decoded so far."""
        self.num_output = 0
        """Output frames given so far."""

    @property
    def display_size(self) -> tuple[int, int]:
        """(width, height) of the source as shown: upright, square pixels; known after a frame."""
        if self._first is None:
            raise RuntimeError("display_size is known once the first frame is decoded")
        return shown_size(
            self._first.width,
            self._first.height,
            pixel_aspect=self.info.pixel_aspect,
            rotation=self._first.rotation,
        )

    @property
    def info(self) -> VideoInfo:
        """What the container claims."""
        return self._source.info

    def frames(self) -> Iterator[DecodedFrame]:
        """Yield the frames of the clip in order.

        Raises:
            RecordError: UNREADABLE if nothing can be decoded, TOO_SHORT if the time range
                holds no frame, TOO_LARGE if a limit of the configuration is passed.
        """
        held: SourceFrame | None = None
        for frame in self._source.frames():
            check_pixels(frame.width, frame.height, max_pixels=self._config.max_pixels)
            self._first = self._first or frame
            slots = self._selector.push(frame.time_seconds)
            if not self._selector.is_done:
                self._check_position(frame.time_seconds - self._first.time_seconds)
            if held is not None:
                yield from self._output(held, slots)
            self.num_decoded += 1
            held = frame
            if self._selector.is_done:
                break
        else:
            self._reached_end = True
        if held is None:
            raise self._nothing_decoded()
        if self._reached_end:
            yield from self._output(held, self._selector.finish(self._source.end_seconds))
        if self.num_output == 0:
            seconds = float(self._source.end_seconds)
            detail = f"the time range holds no frame: the video ends after {seconds:.2f} s"
            raise RecordError("", Outcome.TOO_SHORT, detail)

    def truncation(self) -> str:
        """Say why fewer frames than declared were decoded; "" if the clip is complete."""
        if self._source.damage.num_errors or self._reached_end:
            return describe_loss(
                self.info,
                self._source.damage,
                num_decoded=self.num_decoded,
                end_seconds=self._source.end_seconds,
            )
        return ""

    def notes(self) -> str:
        """Remarks on damage that cost no frame; "" if there are none."""
        notes = list(self._source.damage.notes)
        if self._source.damage.num_corrupt_frames:
            notes.append(f"frames with visible damage: {self._source.damage.num_corrupt_frames}")
        held = self._longest_hold
        seconds = Fraction(held.num_slots, self._config.fps)
        if seconds > _NOTED_GAP_SECONDS:
            notes.append(f"source frame {held.source} is held for {float(seconds):.2f} s")
        return "; ".join(notes)

    def _nothing_decoded(self) -> RecordError:
        damage = self._source.damage
        if damage.num_too_large:
            rule = f"frame must have <= {self._config.max_pixels} pixels (decode.max_pixels)"
            return RecordError("", Outcome.TOO_LARGE, f"{rule}, got none that has")
        parts = [f"{damage.num_packets} packets read of its video stream"]
        if self.info.declared_frames:
            parts.append(f"{self.info.declared_frames} frames declared")
        if damage.first_error:
            parts.append(f"first error: {damage.first_error}")
        if damage.missing_bytes:
            parts.append(f"{damage.missing_bytes} bytes are missing at its end")
        detail = f"no frame of the file can be decoded ({', '.join(parts)}); fetch it again"
        return RecordError("", Outcome.UNREADABLE, detail)

    def _check_position(self, seconds: Fraction) -> None:
        limit = self._config.max_position_seconds
        if seconds > limit:
            rule = f"clip must end within {limit} s of its video (decode.max_position_seconds)"
            detail = f"{rule}, got source frame {self.num_decoded} at {float(seconds):.2f} s"
            raise RecordError("", Outcome.TOO_LARGE, detail)

    def _output_size(self, frame: SourceFrame) -> tuple[int, int]:
        """Size of all output frames, set by the first one."""
        if self._size is None:
            self._size = display_size(
                frame.width,
                frame.height,
                pixel_aspect=self.info.pixel_aspect,
                rotation=frame.rotation,
                short_side=self._config.short_side,
            )
            width, height = self._size
            if width * height > self._config.max_output_pixels:
                detail = (
                    f"output frame must have <= {self._config.max_output_pixels} pixels "
                    f"(decode.max_output_pixels), got {width}x{height}"
                )
                raise RecordError("", Outcome.TOO_LARGE, detail)
        return self._size

    def _output(self, frame: SourceFrame, slots: Slots) -> Iterator[DecodedFrame]:
        if not slots.num_slots:
            return
        num_output = self.num_output + slots.num_slots
        if num_output > self._config.max_frames:
            rule = f"clip must have <= {self._config.max_frames} frames (decode.max_frames)"
            detail = f"{rule}, got {num_output} up to source frame {slots.source}"
            raise RecordError("", Outcome.TOO_LARGE, detail)
        self._longest_hold = max(self._longest_hold, slots, key=lambda each: each.num_slots)
        size = self._output_size(frame)
        rgb = fit_frame(frame.to_rgb(), rotation=frame.rotation, size=size)
        for index in slots:
            self.num_output += 1
            yield DecodedFrame(
                rgb=rgb,
                timestamp_us=round(Fraction(index * 1_000_000, self._config.fps)),
                source_index=slots.source,
                source_timestamp_us=round(frame.time_seconds * 1_000_000),
            )


@contextmanager
def open_clip(
    path: Path,
    *,
    start_seconds: float | None,
    end_seconds: float | None,
    is_trimmed: bool | None,
    config: DecodeConfig,
) -> Iterator[ClipDecoder]:
    """Open the clip [start, end) of a video file.

    Args:
        path: A local file.
        start_seconds: Start of the clip in its untrimmed video; None = first frame.
        end_seconds: End of the clip in its untrimmed video; None = last frame.
        is_trimmed: True = the file is the clip and is not cut again; False = cut;
            None = decide by duration: a file that ends before the clip does is the clip itself
            if it is at most two seconds longer than it, or ends before the clip starts.
        config: Decoder settings and limits.

    Raises:
        RecordError: If the file is empty, unreadable, over a limit or has no video stream.
    """
    open_source = open_decord if config.decoder == "decord" else open_pyav
    start, end = _exact(start_seconds), _exact(end_seconds)
    limits = ReadLimits(max_pixels=config.max_pixels, max_packets=config.max_packets)
    with open_source(path, limits) as source:
        if is_trimmed is None:
            is_trimmed = is_already_trimmed(source.info.duration_seconds, start, end)
        if not is_trimmed:
            _check_start(start or Fraction(0), config)
        selector = FrameSelector(
            fps=Fraction(config.fps),
            start_seconds=None if is_trimmed else start,
            end_seconds=None if is_trimmed else end,
        )
        yield ClipDecoder(source, selector, config)


def _check_start(start: Fraction, config: DecodeConfig) -> None:
    limit = config.max_position_seconds
    if start > limit:
        rule = f"clip must end within {limit} s of its video (decode.max_position_seconds)"
        detail = f"{rule}, got one that starts at {float(start):.2f} s"
        raise RecordError("", Outcome.TOO_LARGE, detail)


def is_already_trimmed(
    duration_seconds: Fraction | None, start: Fraction | None, end: Fraction | None
) -> bool:
    """Tell whether a file is the clip [start, end) itself or its untrimmed video.

    Args:
        duration_seconds: As the file states it; None = it does not.
        start: In seconds; None = first frame.
        end: In seconds; None = last frame.
    """
    if start is None or end is None or duration_seconds is None:
        return start is None and end is None
    if duration_seconds >= end - _END_TOLERANCE_SECONDS:
        return False  # long enough to hold the clip where the annotation says
    is_clip_long = duration_seconds <= end - start + _TRIM_TOLERANCE_SECONDS
    return is_clip_long or duration_seconds <= start


def _exact(seconds: float | None) -> Fraction | None:
    """Exact microseconds: 0.04 s is 1/25 s, not the float nearest to it."""
    return None if seconds is None else Fraction(round(seconds * 1_000_000), 1_000_000)
