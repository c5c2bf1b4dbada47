"""Read what an open container claims about its video stream."""

import re
from fractions import Fraction
from typing import Any

from video.source import VideoInfo

_DURATION_TAG = re.compile(r"(\d{1,6}):(\d{1,2}):(\d{1,2}(?:\.\d{1,12})?)", re.ASCII)
_WITHOUT_STATED_DURATION = ("mpeg", "mpegts")
"""Here FFmpeg takes the duration from the last time stamps, or guesses it from the bit rate."""


def read_info(container: Any, stream: Any) -> VideoInfo:
    """Return the claims of a container about one of its video streams."""
    rate = stream.average_rate or stream.guessed_rate
    rate = Fraction(rate) if rate and rate > 0 else None
    is_guessed = container.format.name in _WITHOUT_STATED_DURATION
    context = stream.codec_context
    aspect = stream.sample_aspect_ratio or context.sample_aspect_ratio or Fraction(1)
    return VideoInfo(
        width=context.width,
        height=context.height,
        codec=context.name,
        pixel_format=context.pix_fmt or "",
        container=container.format.name,
        frame_rate=rate,
        declared_frames=max(0, int(stream.frames)),
        duration_seconds=_stream_duration(container, stream),
        file_duration_seconds=None if is_guessed else _file_duration(container),
        pixel_aspect=Fraction(aspect) if Fraction(1, 10) <= aspect <= 10 else Fraction(1),
    )


def _stream_duration(container: Any, stream: Any) -> Fraction | None:
    """Duration of the video stream: its own, its Matroska tag, or the file's if alone in it."""
    if stream.duration and stream.duration > 0 and stream.time_base:
        return Fraction(stream.duration * stream.time_base)
    tag = _DURATION_TAG.fullmatch(stream.metadata.get("DURATION", ""))
    if tag:
        hours, minutes, seconds = (Fraction(part) for part in tag.groups())
        return hours * 3600 + minutes * 60 + seconds
    return _file_duration(container) if len(container.streams) == 1 else None


def _file_duration(container: Any) -> Fraction | None:
    if container.duration and container.duration > 0:
        return Fraction(container.duration, 1_000_000)
    return None
