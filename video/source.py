"""What a decoder gives: facts about the file, its frames in output order, and the damage met."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """Facts that the container states; every one may be wrong."""

    width: int
    """Coded width in pixels."""
    height: int
    """Coded height in pixels."""
    codec: str
    pixel_format: str
    """FFmpeg's name, "yuv420p" for almost every video of the web; "" = not known."""
    container: str
    frame_rate: Fraction | None
    declared_frames: int
    """Number of frames the container claims; 0 = it claims none (Matroska, MPEG-PS)."""
    duration_seconds: Fraction | None
    """Duration of the video stream as claimed."""
    file_duration_seconds: Fraction | None
    """Duration of the longest stream as claimed."""
    pixel_aspect: Fraction
    """Width of a pixel over its height."""

    @property
    def declared_seconds(self) -> float | None:
        """`duration_seconds` as a float."""
        return None if self.duration_seconds is None else float(self.duration_seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFrame:
    """One decoded frame; its pixels are converted only when asked for."""

    time_seconds: Fraction
    """Presentation time; grows from frame to frame."""
    width: int
    height: int
    rotation: int
    """Degrees counter-clockwise by which the frame is to be turned for display: 0, 90, 180, 270."""
    to_rgb: Callable[[], npt.NDArray[np.uint8]]
    """Gives uint8 [height, width, 3] RGB, not yet rotated."""


@dataclass(slots=True)
class Damage:
    """What was read and what went wrong with it; filled while frames are read."""

    num_packets: int = 0
    """Packets of the video stream read so far, good or bad."""
    num_errors: int = 0
    """Packets that the decoder or demuxer refused."""
    num_corrupt_frames: int = 0
    """Frames that the decoder gave but flagged as damaged."""
    num_discarded: int = 0
    """Packets that give no frame: outside the file's edit list, or empty (a frame repeats)."""
    first_error: str = ""
    num_too_large: int = 0
    """Refused packets whose frame would have more pixels than allowed."""
    num_cut_packets: int = 0
    """Packets of any stream that FFmpeg marks: the file ends inside, or data before is lost."""
    missing_bytes: int = 0
    """Bytes that the container states after the end of the file."""
    other_end_seconds: Fraction = Fraction(0)
    """Where the last packet of the other streams ends."""
    notes: list[str] = field(default_factory=list)

    def add_error(self, message: str) -> None:
        """Count one refused packet."""
        self.num_errors += 1
        self.first_error = self.first_error or message


class VideoSource(Protocol):
    """An open video file."""

    info: VideoInfo
    damage: Damage

    def frames(self) -> Iterator[SourceFrame]:
        """Yield every frame in decoder output order; damage is counted, not raised."""
        ...

    @property
    def end_seconds(self) -> Fraction:
        """Time at which the last frame read so far ends."""
        ...
