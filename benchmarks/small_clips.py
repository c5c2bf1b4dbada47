"""Small synthetic clips in every container and codec that PyAV can write here."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import av.logging
import numpy as np
import numpy.typing as npt

NUM_FRAMES = 25
WIDTH, HEIGHT = 176, 144  # H.263 knows few sizes
_RATE = 25
_SAMPLE_RATE = 48_000
_SAMPLES = 1152  # per frame of sound: what MPEG audio needs


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipFormat:
    """How a clip is written."""

    name: str
    """File name; its suffix does not have to be the container's."""
    codec: str
    pixel_format: str = "yuv420p"
    container: str = ""
    """FFmpeg's name of the container; "" = by suffix."""
    audio: str = ""
    """Codec of a sound stream; "" = none."""
    options: dict[str, str] = field(default_factory=dict)
    """Options of the container."""
    codec_options: dict[str, str] = field(default_factory=dict)
    """Options of the codec."""


FORMATS = (
    ClipFormat(name="plain.mp4", codec="libx264", audio="aac"),
    ClipFormat(name="silent.mp4", codec="libx264"),
    ClipFormat(name="mpeg4.mp4", codec="mpeg4"),
    ClipFormat(name="hevc.mp4", codec="libx265", codec_options={"x265-params": "log-level=none"}),
    ClipFormat(name="av1.mp4", codec="libsvtav1"),
    ClipFormat(name="faststart.mp4", codec="libx264", options={"movflags": "faststart"}),
    ClipFormat(
        name="fragments.mp4",
        codec="libx264",
        audio="aac",
        options={"movflags": "frag_keyframe+empty_moov"},
    ),
    ClipFormat(name="mjpeg.mov", codec="mjpeg", pixel_format="yuvj420p"),
    ClipFormat(name="prores.mov", codec="prores_ks", pixel_format="yuv422p10le"),
    ClipFormat(name="h263.3gp", codec="h263"),
    ClipFormat(name="h264.mkv", codec="libx264", audio="aac"),
    ClipFormat(name="silent.mkv", codec="libx264"),
    ClipFormat(name="ffv1.mkv", codec="ffv1"),
    ClipFormat(name="vp8.webm", codec="libvpx"),
    ClipFormat(name="vp9.webm", codec="libvpx-vp9", audio="libopus"),
    ClipFormat(name="xvid.avi", codec="mpeg4", audio="mp2"),
    ClipFormat(name="mjpeg.avi", codec="mjpeg", pixel_format="yuvj420p"),
    ClipFormat(name="msmpeg4.avi", codec="msmpeg4"),
    ClipFormat(name="mpeg1.mpg", codec="mpeg1video", audio="mp2"),
    ClipFormat(name="mpeg2.vob", codec="mpeg2video", container="vob"),
    ClipFormat(name="h264.ts", codec="libx264", audio="aac"),
    ClipFormat(name="flv1.flv", codec="flv"),
    ClipFormat(name="h264.flv", codec="libx264", audio="aac"),
    ClipFormat(name="wmv2.wmv", codec="wmv2", audio="wmav2"),
    ClipFormat(name="raw.y4m", codec="wrapped_avframe", container="yuv4mpegpipe"),
    ClipFormat(name="animation.gif", codec="gif", pixel_format="rgb8"),
    ClipFormat(name="h264.nut", codec="libx264", container="nut"),
    ClipFormat(name="mpeg2.mxf", codec="mpeg2video", container="mxf"),
    ClipFormat(name="stream.h264", codec="libx264", container="h264"),
    ClipFormat(name="stream.m4v", codec="mpeg4", container="m4v"),
)


def write_clips(folder: Path) -> list[Path]:
    """Write a clip in every format that this build of FFmpeg can write; return their paths.

    Each shows `NUM_FRAMES` frames of a square that moves over noise, and sounds a tone as long.
    """
    folder.mkdir(parents=True, exist_ok=True)
    av.logging.set_level(av.logging.PANIC)
    os.environ.setdefault("SVT_LOG", "-1")  # the AV1 encoder ignores FFmpeg's log level
    return [write_clip(folder / form.name, form) for form in FORMATS if _can_write(form)]


def _can_write(form: ClipFormat) -> bool:
    return {form.codec, form.audio or form.codec} <= av.codecs_available


def write_clip(path: Path, form: ClipFormat) -> Path:
    """Write one clip to a path; see `write_clips`."""
    options = {"fflags": "+bitexact", **form.options}
    with av.open(str(path), "w", format=form.container or None, options=options) as container:
        codec_options = {"threads": "1", "g": "10", **form.codec_options}
        video = container.add_stream(form.codec, rate=Fraction(_RATE), options=codec_options)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, form.pixel_format
        audio = container.add_stream(form.audio, rate=_SAMPLE_RATE) if form.audio else None
        if audio is not None:
            audio.bit_rate = 64_000
        for pixels in _frames():
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(video.encode(frame.reformat(format=form.pixel_format)))
        container.mux(video.encode(None))
        if audio is not None:
            for sound in _tone(audio.codec_context.format.name, audio.frame_size or _SAMPLES):
                container.mux(audio.encode(sound))
            container.mux(audio.encode(None))
    return path


def _frames() -> Iterator[npt.NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    background = rng.integers(0, 90, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    background = background.repeat(8, axis=0).repeat(8, axis=1)
    for index in range(NUM_FRAMES):
        frame = background.copy()
        frame[40:90, 4 * index + 8 : 4 * index + 60] = 200
        yield frame


def _tone(sample_format: str, frame_size: int) -> Iterator[av.AudioFrame]:
    """A second of 440 Hz in frames that the encoder takes."""
    dtype = np.int16 if sample_format.startswith("s16") else np.float32
    scale = 8000 if dtype is np.int16 else 0.2
    for start in range(0, NUM_FRAMES * _SAMPLE_RATE // _RATE, frame_size):
        phase = np.arange(start, start + frame_size) * (2 * np.pi * 440 / _SAMPLE_RATE)
        samples = (np.sin(phase) * scale).astype(dtype)[np.newaxis]
        sound = av.AudioFrame.from_ndarray(samples, format=sample_format, layout="mono")
        sound.sample_rate, sound.pts = _SAMPLE_RATE, start
        yield sound
