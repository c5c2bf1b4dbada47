"""Read a video with PyAV (FFmpeg): the decoder of record."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

import av
import av.error
import av.logging
import numpy as np
import numpy.typing as npt
from av.stream import Disposition

from schemas.errors import RecordError
from schemas.outcome import Outcome
from video.container_info import read_info
from video.file_structure import missing_bytes
from video.source import Damage, SourceFrame, VideoInfo
from video.timeline import PresentationClock
from video.unreadable import describe_unreadable, kind_of_file, plain_reason


class PacketStamp(NamedTuple):
    """When a packet's frame is shown, and for how long (None = not stated)."""

    time_seconds: Fraction
    duration_seconds: Fraction | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadLimits:
    """How much work one file may be."""

    max_pixels: int
    """Largest frame that is decoded, in pixels."""
    max_packets: int
    """Most packets of the video stream that are read."""


_DEFAULT_STEP = Fraction(1, 25)
_MAX_DEMUX_ERRORS = 100
_MAX_STAMP_SECONDS = 1 << 42  # microseconds must fit into 64 bits


@contextmanager
def open_pyav(path: Path, limits: ReadLimits) -> "Iterator[PyavSource]":
    """Open a video file.

    FFmpeg is given the bytes of this one file, not its name: it goes by content alone, and can
    open neither another file nor an address that a playlist or a reference names.

    Args:
        path: A local file.
        limits: How much may be read and decoded.

    Yields:
        The source, with exactly one decoding thread.

    Raises:
        RecordError: EMPTY, UNREADABLE, NO_VIDEO_STREAM, TOO_LARGE by its header, or FAILED if
            it is gone.
        OSError: If the system cannot read the file.
    """
    av.logging.set_level(av.logging.PANIC)
    try:
        status = path.stat()
    except FileNotFoundError as error:
        detail = "the file is gone: it was there when the run was planned"
        raise RecordError("", Outcome.FAILED, detail) from error
    kind = kind_of_file(status.st_mode)
    if kind:
        raise RecordError("", Outcome.UNREADABLE, f"it is {kind}, not a file")
    if status.st_size == 0:
        raise RecordError("", Outcome.EMPTY, "the file has no bytes; fetch it again")
    with path.open("rb", buffering=0) as file, _open_container(file, path, limits) as container:
        if not container.streams:
            raise _unreadable(path)
        stream = _find_video_stream(container)
        info = read_info(container, stream)
        check_pixels(info.width, info.height, max_pixels=limits.max_pixels)
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}
        source = PyavSource(container, stream, info, limits)
        source.damage.missing_bytes = missing_bytes(path)
        yield source


def check_pixels(width: int, height: int, *, max_pixels: int) -> None:
    """Raise RecordError TOO_LARGE if a source frame has more pixels than allowed."""
    if width * height > max_pixels:
        rule = f"frame must have <= {max_pixels} pixels (decode.max_pixels)"
        raise RecordError("", Outcome.TOO_LARGE, f"{rule}, got {width}x{height}")


def _open_container(file: FileIO, path: Path, limits: ReadLimits) -> Any:
    options = {"protocol_whitelist": "none", "max_pixels": str(limits.max_pixels)}
    try:
        return av.open(_Nameless(file), metadata_errors="replace", options=options)
    except (av.error.FFmpegError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception | None = None) -> RecordError:
    what = describe_unreadable(path)
    if isinstance(error, av.error.MemoryError):
        what = "its header asks for more memory than there is"
    detail = f"FFmpeg cannot open the file: {what}; fetch it again"
    return RecordError("", Outcome.UNREADABLE, detail)


class _Nameless:
    """The bytes of a file without its name, which FFmpeg would draw conclusions from."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self.read = file.read
        self.tell = file.tell

    def seek(self, offset: int, whence: int) -> int:
        """Go to a place; damaged files ask for impossible ones."""
        try:
            return self._file.seek(offset, whence)
        except OSError:
            return -errno.EINVAL  # what FFmpeg's own files say; it copes with that


def _find_video_stream(container: Any) -> Any:
    """The stream to decode; cover pictures of sound files are none."""
    if container.format.name.endswith("_pipe"):
        kind = container.format.name.removesuffix("_pipe")
        detail = f"the file is a picture ({kind}), not a video; fetch it again"
        raise RecordError("", Outcome.UNREADABLE, detail)
    stream = container.streams.best("video")
    if stream is not None and stream.disposition & Disposition.attached_pic:
        videos = container.streams.video
        stream = next((s for s in videos if not s.disposition & Disposition.attached_pic), None)
    if stream is None:
        kinds = ", ".join(sorted({each.type for each in container.streams}))
        detail = f"the file holds no video stream (streams: {kinds})"
        raise RecordError("", Outcome.NO_VIDEO_STREAM, detail)
    if stream.codec_context is None:
        detail = "FFmpeg has no decoder for the video stream: its codec is unknown or damaged"
        raise RecordError("", Outcome.UNREADABLE, detail)
    return stream


class PyavSource:
    """An open file; see `video.source.VideoSource`."""

    def __init__(self, container: Any, stream: Any, info: VideoInfo, limits: ReadLimits) -> None:
        self.info = info
        self.damage = Damage()
        self._container = container
        self._stream = stream
        self._limits = limits
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
            if packet is None:
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
        """Packets of the video stream, then None to flush the decoder.

        An unreadable place is skipped, as far as the demuxer can resynchronise.
        """
        failures = 0
        demuxer = self._container.demux()
        while failures < _MAX_DEMUX_ERRORS:
            try:
                packet = next(demuxer)
            except (StopIteration, IndexError):
                break  # PyAV trips at the end over streams that appeared on the way
            except av.error.FFmpegError as error:
                if not failures:  # or the same place again
                    self.damage.add_error(plain_reason(error))
                failures += 1
                demuxer = self._container.demux()
                continue
            failures = 0
            self.damage.num_cut_packets += bool(packet.is_corrupt)
            if packet.stream_index != self._stream.index:
                self._note_end(packet)
            elif packet.size:
                self._count_packet()
                self.damage.num_discarded += bool(packet.is_discard)
                yield packet
            else:  # to FFmpeg an empty packet is the end of the stream
                self.damage.num_discarded += packet.dts is not None
        yield None

    def _count_packet(self) -> None:
        self.damage.num_packets += 1
        if self.damage.num_packets > self._limits.max_packets:
            rule = f"clip must lie within the first {self._limits.max_packets} packets of its video"
            raise RecordError("", Outcome.TOO_LARGE, f"{rule} (decode.max_packets), got more")

    def _note_end(self, packet: Any) -> None:
        """Remember where the other streams end: where the file does, if it was cut off."""
        if packet.pts is not None and packet.time_base:
            end = (packet.pts + packet.duration) * packet.time_base
            self.damage.other_end_seconds = max(self.damage.other_end_seconds, end)

    def _decode(self, packet: Any) -> list[Any]:
        """Frames that a packet completes; none where the decoder refuses it."""
        context = self._stream.codec_context
        try:
            frames: list[Any] = context.decode(packet)
        except av.error.EOFError:
            return []
        except av.error.MemoryError:
            raise  # not damage: the process is at its limit
        except av.error.FFmpegError as error:
            self._note_refusal(error)
            return []
        return frames

    def _note_refusal(self, error: av.error.FFmpegError) -> None:
        context = self._stream.codec_context
        is_size_known = bool(context.width and context.height)
        # Some decoders forget the size of a frame that is too large, with an error of its own.
        if context.width * context.height > self._limits.max_pixels or (
            isinstance(error, av.error.ArgumentError) and not is_size_known
        ):
            self.damage.num_too_large += 1
            self.damage.add_error(f"frame of more than {self._limits.max_pixels} pixels")
        else:
            self.damage.add_error(plain_reason(error))

    def _source_frame(self, frame: Any) -> SourceFrame:
        time_base = frame.time_base or self._stream.time_base or Fraction(1, 25)
        stamp = frame.dts if self._uses_packet_clock else frame.pts
        time_seconds = self._clock.time_of(
            _seconds(stamp, time_base), _seconds(max(0, frame.duration) or None, time_base)
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


def _seconds(ticks: int | None, time_base: Fraction) -> Fraction | None:
    """Ticks in seconds; None if there are none, or they are beyond all reason."""
    seconds = None if ticks is None else ticks * time_base
    return None if seconds is None or abs(seconds) > _MAX_STAMP_SECONDS else seconds


def _right_angle(degrees: float) -> int:
    """Multiple of 90 in 0..270; 0 for anything else (broken display matrices exist)."""
    return int(degrees) % 360 if degrees % 90 == 0 and abs(degrees) <= 360 else 0
