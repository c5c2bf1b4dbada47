"""Write frames as a video that every player and browser shows, or as a picture."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import av
import av.codec
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace

from schemas.checks import check_array
from schemas.errors import ConfigError

UInt8 = npt.NDArray[np.uint8]

VIDEO_SUFFIX = ".mp4"
REPEATABLE_X264 = {"threads": "1", "x264-params": "asm=avx2"}
"""Options with which x264 gives the same bytes on every run: with several threads they depend on
the number of cores, and with AVX-512 on what lay in memory before."""

_ENCODER = "libx264"
_BT709 = 1  # FFmpeg's number of the primaries and the transfer of HD video
_SETTINGS = {"crf": "18", "preset": "veryfast"}


def check_video_path(field: str, path: Path) -> None:
    """Raise ConfigError unless `write_video` can write a file of this name.

    Args:
        field: Name of the option in the message.
        path: The file to write; an older file of that name will be replaced.
    """
    if path.suffix.lower() != VIDEO_SUFFIX:
        raise ConfigError(f"{field} must end in {VIDEO_SUFFIX}, got {path}")
    if path.is_dir() or not path.parent.is_dir():
        raise ConfigError(f"{field} must be a file in an existing folder, got {path}")
    try:
        av.codec.Codec(_ENCODER, "w")
    except ValueError as error:
        raise ConfigError(
            f"FFmpeg must have the H.264 encoder {_ENCODER} to write videos, got a PyAV built "
            "without it; run: pip install --force-reinstall --only-binary av av"
        ) from error


def write_video(path: Path, frames: Iterable[UInt8], *, fps: int) -> tuple[int, int, int]:
    """Write an H.264 video (4:2:0, BT.709, index first) that appears only when complete.

    Args:
        path: The .mp4 file; replaced if it exists.
        frames: uint8 [H, W, 3] RGB each, at least one, all of one size. Odd sides grow by a
            pixel that repeats the edge, as 4:2:0 needs even ones.
        fps: Frames per second. > 0.

    Returns:
        (number of frames, width, height) of the file.

    Raises:
        ConfigError: If the path cannot be used or there is no encoder.
        ValueError: If there is no frame, or frames have another dtype or size than stated.
    """
    check_video_path("output", path)
    num_frames, size = 0, (0, 0)
    with _unfinished(path) as part, _open_container(part) as container:
        stream: Any = None
        for frame in frames:
            if stream is None:
                size = frame.shape[:2]
                stream = _add_stream(container, frame, fps)
            check_array("frame", frame, dtype=np.uint8, axes="H W C", H=size[0], W=size[1], C=3)
            container.mux(stream.encode(_to_yuv(frame)))
            num_frames += 1
        if stream is None:
            raise ValueError("frames must hold at least one frame, got none")
        container.mux(stream.encode())
        return num_frames, stream.width, stream.height


def write_image(path: Path, image: UInt8) -> None:
    """Write a PNG file that appears only when complete.

    Args:
        path: The file; replaced if it exists.
        image: uint8 [H, W, 3] RGB.

    Raises:
        ValueError: If image has another dtype or shape than stated.
        OSError: If the file cannot be written.
    """
    check_array("image", image, dtype=np.uint8, axes="H W C", C=3)
    _, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    with _unfinished(path) as part:
        part.write_bytes(encoded.tobytes())


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """A file beside `path` that takes its name at the end, or is removed."""
    part = path.with_name(f".{uuid4().hex}{path.suffix}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _open_container(path: Path) -> Any:
    # The index in front of the frames: a browser starts before it has the whole file.
    return av.open(str(path.absolute()), "w", format="mp4", options={"movflags": "+faststart"})


def _add_stream(container: Any, frame: UInt8, fps: int) -> Any:
    height, width = frame.shape[:2]
    stream = container.add_stream(_ENCODER, rate=fps, options=_SETTINGS)
    stream.width, stream.height = width + width % 2, height + height % 2
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.color_primaries = context.color_trc = context.colorspace = _BT709
    context.color_range = ColorRange.MPEG
    return stream


def _to_yuv(frame: UInt8) -> Any:
    """The frame with even sides, in the colour space that the file states."""
    height, width = frame.shape[:2]
    even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return av.VideoFrame.from_ndarray(even, format="rgb24").reformat(
        format="yuv420p",
        src_color_range=ColorRange.JPEG,
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
    )
