"""Synthetic videos whose frames carry their index as gray blocks that survive compression."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import av.logging
import numpy as np
import numpy.typing as npt
import pytest

UInt8 = npt.NDArray[np.uint8]


def _marked(index: int, width: int, height: int) -> UInt8:
    """A frame of 4x2 blocks, dark or light by the bits of `index`."""
    frame = np.zeros((height, width, 3), np.uint8)
    for bit in range(8):
        row, column = divmod(bit, 4)
        rows = slice(row * height // 2, (row + 1) * height // 2)
        columns = slice(column * width // 4, (column + 1) * width // 4)
        frame[rows, columns] = 215 if index >> bit & 1 else 40
    return frame


def _read(frame: UInt8) -> int:
    height, width = frame.shape[:2]
    bits = [
        frame[(2 * (bit // 4) + 1) * height // 4, (2 * (bit % 4) + 1) * width // 8].mean() > 127
        for bit in range(8)
    ]
    return sum(1 << bit for bit, is_light in enumerate(bits) if is_light)


@pytest.fixture(scope="session")
def read_index() -> Callable[[UInt8], int]:
    """The index that a frame of a synthetic video shows, 0 to 255."""
    return _read


@pytest.fixture(scope="session")
def write_video() -> Callable[..., Path]:
    """Write `num_frames` marked frames to a path; its suffix chooses the container."""

    def write(
        path: Path,
        num_frames: int,
        *,
        codec: str = "libx264",
        rate: int = 25,
        size: tuple[int, int] = (64, 64),
        milliseconds: list[int] | None = None,
        pixel_aspect: Fraction | None = None,
        pixel_format: str = "yuv420p",
        options: dict[str, str] | None = None,
    ) -> Path:
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate, options=options or {})
            stream.width, stream.height = size
            stream.pix_fmt = pixel_format
            if pixel_aspect:
                stream.codec_context.sample_aspect_ratio = pixel_aspect
            if milliseconds:
                stream.codec_context.time_base = Fraction(1, 1000)
            for index in range(num_frames):
                frame = av.VideoFrame.from_ndarray(_marked(index, *size), format="rgb24")
                if milliseconds:
                    frame.pts, frame.time_base = milliseconds[index], Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write


@pytest.fixture(scope="session")
def write_audio() -> Callable[[Path], Path]:
    """Write a file with one audio stream and no video."""

    def write(path: Path) -> Path:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=16000)
            samples = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write


@pytest.fixture(scope="session")
def break_packet() -> Callable[[Path, int], Path]:
    """Overwrite the unit length of one H.264 packet of an MP4: every decoder refuses it."""

    def break_at(path: Path, index: int) -> Path:
        with av.open(str(path)) as container:
            places = [packet.pos for packet in container.demux(video=0) if packet.size]
        data = bytearray(path.read_bytes())
        data[places[index] : places[index] + 4] = b"\xff\xff\xff\xf0"
        path.write_bytes(data)
        return path

    return break_at


@pytest.fixture
def fps_filter() -> Callable[..., list[int]]:
    """ffmpeg's `fps` filter: which source frame does each of its output frames show?"""

    def run(
        stamps: list[int], durations: list[int], time_base: Fraction, fps: int = 25
    ) -> list[int]:
        graph = av.filter.Graph()
        source = graph.add_buffer(width=16, height=16, format="gray", time_base=time_base)
        chain = (source, graph.add("fps", f"fps={fps}"), graph.add("buffersink"))
        chain[0].link_to(chain[1])
        chain[1].link_to(chain[2])
        graph.configure()
        shown: list[int] = []

        def drain() -> None:
            while True:
                try:
                    pixels = chain[2].pull().to_ndarray()
                except (av.error.BlockingIOError, av.error.EOFError):
                    return
                shown.append(int(pixels[0, 0]) + 256 * int(pixels[0, 1]))

        for index, (stamp, duration) in enumerate(zip(stamps, durations, strict=True)):
            pixels = np.zeros((16, 16), np.uint8)
            pixels[0, :2] = index % 256, index // 256
            frame = av.VideoFrame.from_ndarray(pixels, format="gray")
            frame.pts, frame.duration, frame.time_base = stamp, duration, time_base
            source.push(frame)
            drain()
        source.push(None)
        drain()
        return shown

    return run
