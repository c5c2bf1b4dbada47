"""Files that are no videos, that name others, that lie, that never end: bounded and refused."""

import os
import socket
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from schemas.errors import RecordError
from schemas.outcome import Outcome
from video.decode import ClipDecoder, DecodeConfig, DecodedFrame, open_clip
from video.pyav_source import ReadLimits, open_pyav

WriteVideo = Callable[..., Path]
LIMITS = ReadLimits(max_pixels=1 << 26, max_packets=10_000)


def decode(
    path: Path, *, start: float | None = None, **settings: Any
) -> tuple[list[DecodedFrame], ClipDecoder]:
    config = DecodeConfig(short_side=16, **settings)
    with open_clip(
        path, start_seconds=start, end_seconds=None, is_trimmed=False, config=config
    ) as decoder:
        return list(decoder.frames()), decoder


def refuse(path: Path, *, start: float | None = None, **settings: Any) -> tuple[Outcome, str]:
    with pytest.raises(RecordError) as caught:
        decode(path, start=start, **settings)
    return caught.value.outcome, caught.value.detail


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A port of this machine; the test fails if anybody connected to it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening
        listening.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listening.accept()


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile {target}\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".ffconcat", ".sdp"])
@pytest.mark.parametrize("target", ["good.ts", "{folder}/good.ts", "http://127.0.0.1:{port}/a.ts"])
@pytest.mark.parametrize("kind", list(PLAYLISTS))
def test_playlist_opens_no_other_file_and_no_connection(
    kind: str,
    target: str,
    suffix: str,
    tmp_path: Path,
    write_video: WriteVideo,
    server: socket.socket,
) -> None:
    write_video(tmp_path / "good.ts", 10)
    port = server.getsockname()[1]
    target = target.format(folder=tmp_path, port=port)
    path = tmp_path / f"list{suffix}"
    path.write_text(PLAYLISTS[kind].format(target=target, port=port))
    first_line = path.read_text().partition("\n")[0]
    assert refuse(path) == (
        Outcome.UNREADABLE,
        "FFmpeg cannot open the file: it is a text, not a video, and begins with "
        f"{first_line!r}; fetch it again",
    )


def test_name_that_is_a_pattern_opens_no_other_file(tmp_path: Path) -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    for index in range(1, 4):
        cv2.imwrite(str(tmp_path / f"frame{index:03d}.png"), pixels)
    (tmp_path / "frame%03d.png").write_bytes((tmp_path / "frame001.png").read_bytes())
    outcome, _ = refuse(tmp_path / "frame%03d.png")
    assert outcome is Outcome.UNREADABLE


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "bmp", "tiff"])
def test_picture_is_no_video(kind: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    _, data = cv2.imencode(f".{kind}", pixels)
    (tmp_path / "a.mp4").write_bytes(data.tobytes())
    assert refuse(tmp_path / "a.mp4") == (
        Outcome.UNREADABLE,
        f"the file is a picture ({kind}), not a video; fetch it again",
    )


def test_subtitles_are_no_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n\n")
    detail = "the file holds no video stream (streams: subtitle)"
    assert refuse(tmp_path / "a.mp4") == (Outcome.NO_VIDEO_STREAM, detail)


def test_cover_picture_of_a_song_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        sound = container.add_stream("aac", rate=16000)
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts = 16000, 0
        picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        container.mux(cover.encode(picture.reformat(format="yuvj420p")))
        container.mux(cover.encode(None))
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    outcome, detail = refuse(tmp_path / "a.mp4")
    assert outcome is Outcome.NO_VIDEO_STREAM
    assert detail == "the file holds no video stream (streams: audio, video)"


def test_unknown_codec_is_named(tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "a.mp4", 5)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    assert refuse(path) == (
        Outcome.UNREADABLE,
        "FFmpeg has no decoder for the video stream: its codec is unknown or damaged",
    )


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: path.mkdir(), "a folder"),
        (os.mkfifo, "a named pipe"),
        (lambda path: socket.socket(socket.AF_UNIX).bind(str(path)), "a socket"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_what_is_no_file_is_not_opened(
    make: Callable[[Path], None], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    make(Path("a.mp4"))
    assert refuse(Path("a.mp4")) == (Outcome.UNREADABLE, f"it is {kind}, not a file")


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_file_that_is_gone_is_a_failure_with_a_reason(decoder: str, tmp_path: Path) -> None:
    (tmp_path / "link.mp4").symlink_to(tmp_path / "gone.mp4")
    for name in ("gone.mp4", "link.mp4"):
        assert refuse(tmp_path / name, decoder=decoder) == (
            Outcome.FAILED,
            "the file is gone: it was there when the run was planned",
        )


class ShrinkingFile:
    """Cuts a file in half when its second packet is read."""

    def __init__(self, container: Any, path: Path) -> None:
        self._container = container
        self._path = path

    def demux(self) -> Iterator[Any]:
        packets = self._container.demux()
        yield next(packets)
        os.truncate(self._path, self._path.stat().st_size // 2)
        yield from packets


def test_file_that_shrinks_while_it_is_read_is_flagged(
    tmp_path: Path, write_video: WriteVideo
) -> None:
    path = write_video(tmp_path / "a.avi", 200, codec="mjpeg", pixel_format="yuvj420p")
    with open_clip(
        path,
        start_seconds=None,
        end_seconds=None,
        is_trimmed=True,
        config=DecodeConfig(short_side=16),
    ) as decoder:
        source: Any = decoder._source
        source._container = ShrinkingFile(source._container, path)
        frames = list(decoder.frames())
    assert 50 < len(frames) < 150
    assert f"; {len(frames)} frames decoded of 200 declared" in decoder.truncation()


def test_header_with_a_giant_frame_is_refused_before_decoding(
    tmp_path: Path, write_video: WriteVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mp4", 3, size=(128, 96))
    monkeypatch.setattr("video.pyav_source.PyavSource._decode", None)
    assert refuse(path, max_pixels=128 * 96 - 1) == (
        Outcome.TOO_LARGE,
        "frame must have <= 12287 pixels (decode.max_pixels), got 128x96",
    )


@pytest.mark.parametrize(("suffix", "codec"), [(".ts", "libx264"), (".mpg", "mpeg2video")])
def test_giant_frames_in_mid_stream_are_not_decoded(
    suffix: str, codec: str, tmp_path: Path, write_video: WriteVideo
) -> None:
    small = write_video(tmp_path / f"s{suffix}", 10, codec=codec, size=(64, 48))
    large = write_video(tmp_path / f"l{suffix}", 10, codec=codec, size=(352, 288))
    path = tmp_path / f"grows{suffix}"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    frames, decoder = decode(path, max_pixels=10_000)
    assert {frame.rgb.shape for frame in frames} == {(16, 21, 3)}
    assert 9 <= decoder.num_decoded <= 10
    loss = "10 packets could not be decoded (first error: frame of more than 10000 pixels"
    assert decoder.truncation().startswith(loss)


def test_only_giant_frames_behind_a_small_header_are_too_large(
    tmp_path: Path, write_video: WriteVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mp4", 5, size=(352, 288))
    monkeypatch.setattr("video.pyav_source.check_pixels", lambda *_, **__: None)
    assert refuse(path, max_pixels=10_000) == (
        Outcome.TOO_LARGE,
        "frame must have <= 10000 pixels (decode.max_pixels), got none that has",
    )


def test_packets_are_counted(tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "a.mp4", 10)
    assert len(decode(path, max_packets=10)[0]) == 10
    assert refuse(path, max_packets=9) == (
        Outcome.TOO_LARGE,
        "clip must lie within the first 9 packets of its video (decode.max_packets), got more",
    )


def test_position_in_the_video_is_limited(tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "a.mkv", 3, milliseconds=[0, 2000, 2040])
    assert len(decode(path, max_position_seconds=3)[0]) == 52
    rule = "clip must end within 1 s of its video (decode.max_position_seconds)"
    detail = f"{rule}, got source frame 1 at 2.00 s"
    assert refuse(path, max_position_seconds=1) == (Outcome.TOO_LARGE, detail)
    detail = f"{rule}, got one that starts at 1.50 s"
    assert refuse(path, start=1.5, max_position_seconds=1) == (Outcome.TOO_LARGE, detail)


def test_stamp_years_ahead_does_not_repeat_a_frame_for_years(
    tmp_path: Path, write_video: WriteVideo
) -> None:
    hour = 3_600_000
    path = write_video(tmp_path / "a.mkv", 3, milliseconds=[0, 40, hour])
    assert refuse(path) == (
        Outcome.TOO_LARGE,
        "clip must have <= 15000 frames (decode.max_frames), got 90000 up to source frame 1",
    )
    path = write_video(tmp_path / "b.mkv", 3, milliseconds=[0, 40, 30 * 365 * 24 * hour])
    for settings in ({}, {"max_frames": 1 << 62}):
        outcome, detail = refuse(path, **settings)
        assert outcome is Outcome.TOO_LARGE
        assert "decode.max_position_seconds" in detail


def test_long_gap_in_the_stamps_is_noted(tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "a.mkv", 3, milliseconds=[0, 40, 20_000])
    frames, decoder = decode(path)
    assert len(frames) == 501
    assert decoder.notes() == "source frame 1 is held for 19.96 s"


def test_stamps_beyond_all_reason_are_not_believed(tmp_path: Path, write_video: WriteVideo) -> None:
    with open_pyav(write_video(tmp_path / "a.mp4", 5), LIMITS) as source:
        source._stream = Aeons(source._stream)
        frames = list(source.frames())
    assert [frame.time_seconds for frame in frames] == [Fraction(index, 25) for index in range(5)]
    assert source.end_seconds == Fraction(5, 25)


class Aeons:
    """A stream whose ticks are as long as 64 bits allow."""

    def __init__(self, stream: Any) -> None:
        self.index = stream.index
        self.time_base = None
        self.codec_context = self
        self._context = stream.codec_context

    def decode(self, packet: Any) -> list[Any]:
        frames: list[Any] = self._context.decode(packet)
        for frame in frames:
            frame.time_base = Fraction(1 << 30)
            frame.pts, frame.duration = (1 << 62) + frame.pts, 1 << 62
        return frames


def test_impossible_seek_is_an_answer_not_an_exception(
    tmp_path: Path, write_video: WriteVideo
) -> None:
    # NUT looks for its index from the end of the file: before the begin of a short one.
    data = write_video(tmp_path / "a.nut", 10).read_bytes()
    for percent in range(10, 100, 5):
        path = tmp_path / "cut.nut"
        path.write_bytes(data[: len(data) * percent // 100])
        try:
            decode(path)
        except RecordError as error:
            assert error.outcome is Outcome.UNREADABLE  # noqa: PT017


class LateStream:
    """Ends as PyAV does if a stream appeared after the file was opened."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def demux(self) -> Iterator[Any]:
        yield from [packet for packet in self._container.demux() if packet.size]
        raise IndexError("list index out of range")


def test_stream_that_appears_late_loses_no_frame(tmp_path: Path, write_video: WriteVideo) -> None:
    with open_pyav(write_video(tmp_path / "a.mkv", 20), LIMITS) as source:
        stand_in: Any = LateStream(source._container)
        source._container = stand_in
        assert len(list(source.frames())) == 20
    assert source.damage.num_errors == 0
