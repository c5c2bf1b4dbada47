"""Read a video with PyAV (FFmpeg): the decoder of record."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import av.error
import av.logging
import numpy as np
import numpy.typing as npt

from schemas.errors import RecordError
from schemas.outcome import Outcome
from video.source import Damage, SourceFrame, VideoInfo
from video.timeline import PresentationClock


class PacketStamp(NamedTuple):
    """When a packet's frame is shown, and for how long (None = not stated)."""

    time_seconds: Fraction
    duration_seconds: Fraction | None


_DEFAULT_STEP = Fraction(1, 25)
_MAX_DEMUX_ERRORS = 100


@contextmanager
def open_pyav(path: Path) -> "Iterator[PyavSource]":
    """Open a video file.

    Args:
        path: A local file.

    Yields:
        The source, with exactly one decoding thread.

    Raises:
        RecordError: EMPTY, UNREADABLE or NO_VIDEO_STREAM.
    """
    av.logging.set_level(av.logging.PANIC)
    if path.stat().st_size == 0:
        raise RecordError("", Outcome.EMPTY, "the file has no bytes; fetch it again")
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        detail = f"FFmpeg cannot open the file ({_reason(error)}); fetch it again"
        raise RecordError("", Outcome.UNREADABLE, detail) from error
    with container:
        stream = container.streams.best("video")
        if stream is None:
            kinds = ", ".join(sorted({each.type for each in container.streams})) or "none"
            detail = f"the file holds no video stream (streams: {kinds})"
            raise RecordError("", Outcome.NO_VIDEO_STREAM, detail)
        stream.codec_context.thread_count = 1
        yield PyavSource(container, stream)


class PyavSource:
    """An open file; see `video.source.VideoSource`."""

    def __init__(self, container: Any, stream: Any) -> None:
        self.info = _read_info(container, stream)
        self.damage = Damage()
        self._container = container
        self._stream = stream
        # AVI stores no time stamps: its packets are its clock, and pts made up from them are
        # wrong wherever frames are reordered.
        self._uses_packet_clock = container.format.name == "avi"
        step = 1 / self.info.frame_rate if self.info.frame_rate else _DEFAULT_STEP
        self._clock = PresentationClock(default_step_seconds=step)

    @property
    def end_seconds(self) -> Fraction:
        """Time at which the last frame read so far ends."""
        return self._clock.end_seconds

    def frames(self) -> Iterator[SourceFrame]:
        """Yield every frame in decoder output order; damage is counted, not raised."""
        for packet in self._packets():
            for frame in self._decode(packet):
                self.damage.num_corrupt_frames += bool(frame.is_corrupt)
                yield self._source_frame(frame)

    def packet_stamps(self) -> list[PacketStamp]:
        """Return the stamps of all packets in presentation order.

        [] if one has no stamp, is damaged or is not to be shown.

        Reads the file to its end: open it again to decode it.
        """
        stamps = []
        for packet in self._packets():
            if packet is None or packet.size == 0:
                continue
            if packet.pts is None or packet.is_corrupt or packet.time_base is None:
                return []
            seconds = packet.pts * packet.time_base
            length = packet.duration * packet.time_base if packet.duration else None
            stamps.append(PacketStamp(seconds, length))
        if self.damage.num_errors or self.damage.num_discarded:
            return []
        return sorted(stamps, key=lambda stamp: stamp.time_seconds)

    def _packets(self) -> Iterator[Any]:
        """Demux; an unreadable place is skipped, as far as the demuxer can resynchronise."""
        demuxer = self._container.demux(self._stream)
        failures = 0
        while failures < _MAX_DEMUX_ERRORS:
            try:
                packet = next(demuxer)
            except StopIteration:
                return
            except av.error.FFmpegError as error:
                failures += 1
                self.damage.add_error(_reason(error))
                demuxer = self._container.demux(self._stream)
                continue
            self.damage.num_discarded += bool(packet.is_discard)
            yield packet
        yield None  # flush what the decoder still holds

    def _decode(self, packet: Any) -> list[Any]:
        """Frames that a packet completes; none where the decoder refuses it."""
        try:
            frames: list[Any] = self._stream.codec_context.decode(packet)
        except av.error.EOFError:
            return []
        except av.error.FFmpegError as error:
            self.damage.add_error(_reason(error))
            return []
        return frames

    def _source_frame(self, frame: Any) -> SourceFrame:
        time_base = frame.time_base or self._stream.time_base or Fraction(1, 25)
        stamp = frame.dts if self._uses_packet_clock else frame.pts
        time_seconds = self._clock.time_of(
            None if stamp is None else stamp * time_base,
            frame.duration * time_base if frame.duration else None,
        )

        def to_rgb() -> npt.NDArray[np.uint8]:
            pixels: npt.NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
            return pixels

        return SourceFrame(
            time_seconds=time_seconds,
            width=frame.width,
            height=frame.height,
            rotation=_right_angle(frame.rotation),
            to_rgb=to_rgb,
        )


def _reason(error: Exception) -> str:
    """Short text of an FFmpeg error, without the path (which differs between machines)."""
    return getattr(error, "strerror", None) or type(error).__name__


def _right_angle(degrees: float) -> int:
    """Multiple of 90 in 0..270; 0 for anything else (broken display matrices exist)."""
    return int(degrees) % 360 if degrees % 90 == 0 and abs(degrees) <= 360 else 0


def _read_info(container: Any, stream: Any) -> VideoInfo:
    rate = stream.average_rate or stream.guessed_rate
    rate = Fraction(rate) if rate and rate > 0 else None
    duration = _stream_duration(container, stream)
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
        duration_seconds=duration,
        pixel_aspect=Fraction(aspect) if Fraction(1, 10) <= aspect <= 10 else Fraction(1),
    )


def _stream_duration(container: Any, stream: Any) -> Fraction | None:
    """Duration of the video stream: its own, its Matroska tag, or the file's if alone in it."""
    if stream.duration and stream.duration > 0 and stream.time_base:
        return Fraction(stream.duration * stream.time_base)
    tag = stream.metadata.get("DURATION", "")
    parts = tag.split(":")
    if len(parts) == 3:
        try:
            hours, minutes, seconds = (Fraction(part) for part in parts)
        except (ValueError, ZeroDivisionError):
            return None
        return hours * 3600 + minutes * 60 + seconds
    if container.duration and container.duration > 0 and len(container.streams) == 1:
        return Fraction(container.duration, 1_000_000)
    return None
