"""Read undamaged 8-bit H.264 MP4 files with decord; everything else goes to PyAV.

decord gives the same pixels (tests compare them) but hides damage: it stops or repeats frames
without a word. So it only reads files whose packets are all there and all shown, the time
stamps are those of the packets, and where it gives up PyAV reads on. Damage inside a packet
that both decoders conceal is not noted with decord.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.errors import ConfigError
from video.pyav_source import PacketStamp, PyavSource, ReadLimits, open_pyav
from video.source import Damage, SourceFrame, VideoInfo, VideoSource
from video.timeline import PresentationClock

_MIN_SIDE_PX = 64
"""decord mistakes the row padding of narrower frames for colour channels."""


@contextmanager
def open_decord(path: Path, limits: ReadLimits) -> Iterator[VideoSource]:
    """Open a video file with decord if it can be trusted with it, else with PyAV.

    Args:
        path: A local file.
        limits: How much may be read and decoded.

    Raises:
        ConfigError: If decord is not installed.
        RecordError: As `video.pyav_source.open_pyav`.
    """
    try:
        import decord
    except ImportError as error:
        message = "decode.decoder=decord needs the package decord; run: pip install decord"
        raise ConfigError(message) from error
    with open_pyav(path, limits) as source:
        info = source.info
        stamps = source.packet_stamps() if _is_plain(info) else []
    try:
        reader = decord.VideoReader(str(path), num_threads=1) if stamps else []
    except decord.DECORDError:
        reader = []
    if stamps and len(reader) == len(stamps) == info.declared_frames:
        yield _DecordSource(path, reader, info, stamps, limits, error_type=decord.DECORDError)
        return
    with open_pyav(path, limits) as source:
        yield source


def _is_plain(info: VideoInfo) -> bool:
    """Whether decord is known to give PyAV's pixels for files like this one."""
    return (
        info.codec == "h264"
        and "mp4" in info.container.split(",")
        and info.pixel_format == "yuv420p"
        and min(info.width, info.height) >= _MIN_SIDE_PX
    )


class _DecordSource:
    """An open file; see `video.source.VideoSource`."""

    def __init__(
        self,
        path: Path,
        reader: Any,
        info: VideoInfo,
        stamps: list[PacketStamp],
        limits: ReadLimits,
        *,
        error_type: type[Exception],
    ) -> None:
        self.info = info
        self.damage = Damage()
        self._path = path
        self._limits = limits
        self._reader = reader
        self._error_type = error_type
        self._rest: PyavSource | None = None
        self._stamps = stamps
        step = 1 / info.frame_rate if info.frame_rate else Fraction(1, 25)
        self._clock = PresentationClock(default_step_seconds=step)

    @property
    def end_seconds(self) -> Fraction:
        """Time at which the last frame read so far ends."""
        return self._rest.end_seconds if self._rest else self._clock.end_seconds

    def frames(self) -> Iterator[SourceFrame]:
        """Yield every frame in decoder output order."""
        for index, stamp in enumerate(self._stamps):
            try:
                pixels: npt.NDArray[np.uint8] = self._reader[index].asnumpy()
            except self._error_type:
                yield from self._read_on(index)
                return
            yield SourceFrame(
                time_seconds=self._clock.time_of(stamp.time_seconds, stamp.duration_seconds),
                width=pixels.shape[1],
                height=pixels.shape[0],
                rotation=0,  # decord has turned the frame already
                to_rgb=partial(np.asarray, pixels),
            )

    def _read_on(self, index: int) -> Iterator[SourceFrame]:
        """The frames from `index` on, by PyAV, which also counts the damage."""
        with open_pyav(self._path, self._limits) as self._rest:
            self.damage = self._rest.damage
            yield from islice(self._rest.frames(), index, None)
