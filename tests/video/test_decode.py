"""Clips of synthetic videos: which frames come out, how large, and what bad files become."""

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av.error
import numpy as np
import numpy.typing as npt
import pytest

from schemas.errors import ConfigError, RecordError
from schemas.outcome import Outcome
from video.decode import ClipDecoder, DecodeConfig, DecodedFrame, open_clip
from video.pyav_source import ReadLimits, open_pyav

WriteVideo = Callable[..., Path]
BreakPacket = Callable[[Path, int], Path]
ReadIndex = Callable[[npt.NDArray[np.uint8]], int]
SMALL = DecodeConfig(short_side=64)
LIMITS = ReadLimits(max_pixels=1 << 26, max_packets=10_000)


def decode(
    path: Path,
    *,
    start: float | None = None,
    end: float | None = None,
    is_trimmed: bool | None = None,
    config: DecodeConfig = SMALL,
) -> tuple[list[DecodedFrame], ClipDecoder]:
    with open_clip(
        path, start_seconds=start, end_seconds=end, is_trimmed=is_trimmed, config=config
    ) as decoder:
        return list(decoder.frames()), decoder


def refuse(
    path: Path,
    *,
    start: float | None = None,
    end: float | None = None,
    config: DecodeConfig = SMALL,
) -> RecordError:
    with pytest.raises(RecordError) as caught:
        decode(path, start=start, end=end, is_trimmed=False, config=config)
    return caught.value


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.ts", "libx264")],
)
def test_every_frame_of_a_25_fps_video_comes_out_once(
    name: str, codec: str, tmp_path: Path, write_video: WriteVideo, read_index: ReadIndex
) -> None:
    frames, decoder = decode(write_video(tmp_path / name, 40, codec=codec))
    assert [read_index(frame.rgb) for frame in frames] == list(range(40))
    assert [frame.source_index for frame in frames] == list(range(40))
    assert [frame.timestamp_us for frame in frames] == [40_000 * index for index in range(40)]
    steps = np.diff([frame.source_timestamp_us for frame in frames])
    assert set(steps.tolist()) == {40_000}
    assert (decoder.num_decoded, decoder.num_output) == (40, 40)
    assert (decoder.truncation(), decoder.notes()) == ("", "")


def test_fifty_fps_keeps_every_second_frame(
    tmp_path: Path, write_video: WriteVideo, read_index: ReadIndex
) -> None:
    frames, decoder = decode(write_video(tmp_path / "a.mp4", 20, rate=50))
    shown = [read_index(frame.rgb) for frame in frames]
    assert shown == [frame.source_index for frame in frames]
    assert len(shown) == 10
    assert set(np.diff(shown).tolist()) == {2}
    assert decoder.num_decoded == 20


def test_variable_rate_repeats_frames_by_their_own_times(
    tmp_path: Path, write_video: WriteVideo, read_index: ReadIndex
) -> None:
    stamps = [0, 100, 140, 400, 410, 900]
    path = write_video(tmp_path / "a.mkv", 6, milliseconds=stamps)
    frames, _ = decode(path)
    expected = [0] * 3 + [1] + [2] * 6 + [4] * 13 + [5]
    assert [read_index(frame.rgb) for frame in frames] == expected
    assert [frame.source_index for frame in frames] == expected
    shown = [stamps[index] * 1000 for index in expected]
    assert [frame.source_timestamp_us for frame in frames] == shown


def test_repeated_frames_share_their_pixels(tmp_path: Path, write_video: WriteVideo) -> None:
    frames, _ = decode(write_video(tmp_path / "a.mkv", 2, milliseconds=[0, 120]))
    assert frames[0].rgb is frames[1].rgb is frames[2].rgb


def test_one_frame_video_gives_one_frame(tmp_path: Path, write_video: WriteVideo) -> None:
    frames, decoder = decode(write_video(tmp_path / "a.mp4", 1, rate=120))
    assert [(frame.source_index, frame.timestamp_us) for frame in frames] == [(0, 0)]
    assert decoder.num_output == 1


@pytest.mark.parametrize(
    ("size", "pixel_aspect", "shape"),
    [
        ((64, 64), None, (32, 32, 3)),
        ((96, 64), None, (32, 48, 3)),
        ((64, 96), None, (48, 32, 3)),
        ((66, 50), None, (32, 42, 3)),
        ((64, 64), Fraction(16, 11), (32, 47, 3)),
        ((64, 64), Fraction(11, 16), (47, 32, 3)),
    ],
)
def test_short_side_and_aspect_of_square_pixels(
    size: tuple[int, int],
    pixel_aspect: Fraction | None,
    shape: tuple[int, int, int],
    tmp_path: Path,
    write_video: WriteVideo,
    read_index: ReadIndex,
) -> None:
    path = write_video(tmp_path / "a.mp4", 3, size=size, pixel_aspect=pixel_aspect)
    frames, decoder = decode(path, config=DecodeConfig(short_side=32))
    assert [frame.rgb.shape for frame in frames] == [shape] * 3
    assert [read_index(frame.rgb) for frame in frames] == [0, 1, 2]
    assert (decoder.info.width, decoder.info.height) == size


def test_size_change_in_mid_stream_keeps_the_first_size(
    tmp_path: Path, write_video: WriteVideo, read_index: ReadIndex
) -> None:
    parts = [
        write_video(tmp_path / f"{size[0]}.ts", 5, size=size).read_bytes()
        for size in ((64, 64), (96, 64))
    ]
    (tmp_path / "joined.ts").write_bytes(b"".join(parts))
    frames, _ = decode(tmp_path / "joined.ts")
    assert {frame.rgb.shape for frame in frames} == {(64, 64, 3)}
    assert [read_index(frame.rgb) for frame in frames] == [*range(5), *range(5)]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0.2, 0.4, range(5, 10)),
        (0.0, 0.04, range(1)),
        (0.21, 0.4, range(6, 10)),
        (1.4, 9.0, range(35, 40)),
        (0.6, None, range(15, 40)),
        (None, 0.2, range(5)),
    ],
)
def test_cut_gives_the_frames_from_start_to_before_end(
    start: float | None,
    end: float | None,
    expected: range,
    tmp_path: Path,
    write_video: WriteVideo,
    read_index: ReadIndex,
) -> None:
    path = write_video(tmp_path / "a.mp4", 40)
    frames, _ = decode(path, start=start, end=end, is_trimmed=False)
    assert [read_index(frame.rgb) for frame in frames] == list(expected)
    assert [frame.source_index for frame in frames] == list(expected)
    assert [frame.timestamp_us for frame in frames] == [40_000 * index for index in expected]


def test_cut_stops_decoding_at_its_end(tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "a.mp4", 100)
    _, decoder = decode(path, start=0.2, end=0.4, is_trimmed=False)
    assert decoder.num_decoded < 20
    assert decoder.truncation() == ""


def test_trimmed_file_is_not_cut_again(tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "a.mp4", 40)
    frames, _ = decode(path, start=0.2, end=0.4, is_trimmed=True)
    assert len(frames) == 40


@pytest.mark.parametrize(
    ("start", "end", "num_frames"),
    [
        (1.0, 5.0, 100),  # the clip is as long as the file and ends later
        (2.6, 4.6, 100),  # the file is two seconds longer than the clip, which ends later
        (2.7, 4.6, 32),  # more than two seconds longer: the whole video, which ends too early
        (1.0, 3.0, 50),  # the file is long enough to hold the clip in its place
        (0.0, 4.4, 100),  # in its place but for half a second
        (4.0, 5.0, 100),  # the file ends before the clip starts
        (3.0, None, 25),  # an open end says nothing about a length
        (None, None, 100),
    ],
)
def test_file_that_ends_before_the_clip_may_be_the_clip(
    start: float | None,
    end: float | None,
    num_frames: int,
    tmp_path: Path,
    write_video: WriteVideo,
) -> None:
    frames, _ = decode(write_video(tmp_path / "a.mp4", 100), start=start, end=end)
    assert len(frames) == num_frames


def test_file_without_stated_duration_is_cut(tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "a.h264", 20, options={"bf": "0"})
    frames, decoder = decode(path, start=0.0, end=0.2)
    assert decoder.info.duration_seconds is None
    assert len(frames) == 5


@pytest.mark.parametrize(
    ("content", "outcome", "detail"),
    [
        (b"", Outcome.EMPTY, "the file has no bytes; fetch it again"),
        (
            b"<html>404</html>" * 50,
            Outcome.UNREADABLE,
            "FFmpeg cannot open the file: it is a text, not a video, and begins with "
            "'<html>404</html><html>404</html><html>40...'; fetch it again",
        ),
    ],
)
@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_file_that_is_no_video_is_refused(
    content: bytes, outcome: Outcome, detail: str, decoder: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    config = DecodeConfig(decoder=decoder)  # type: ignore[arg-type]
    error = refuse(path, config=config)
    assert (error.outcome, error.detail, error.clip_id) == (outcome, detail, "")


def test_sound_without_picture_is_refused(
    tmp_path: Path, write_audio: Callable[[Path], Path]
) -> None:
    error = refuse(write_audio(tmp_path / "a.mp4"))
    assert error.outcome is Outcome.NO_VIDEO_STREAM
    assert error.detail == "the file holds no video stream (streams: audio)"


def test_header_without_frames_is_unreadable(tmp_path: Path, write_video: WriteVideo) -> None:
    data = write_video(tmp_path / "a.mkv", 20).read_bytes()
    (tmp_path / "b.mkv").write_bytes(data[: data.index(bytes.fromhex("1f43b675")) + 4])
    error = refuse(tmp_path / "b.mkv")
    assert error.outcome is Outcome.UNREADABLE
    assert re.fullmatch(
        r"no frame of the file can be decoded \(0 packets read of its video stream, "
        r"\d+ bytes are missing at its end\); fetch it again",
        error.detail,
    )


def test_range_after_the_end_is_too_short(tmp_path: Path, write_video: WriteVideo) -> None:
    error = refuse(write_video(tmp_path / "a.mp4", 50), start=3.0, end=4.0)
    assert error.outcome is Outcome.TOO_SHORT
    assert error.detail == "the time range holds no frame: the video ends after 2.00 s"


@pytest.mark.parametrize(
    ("config", "detail"),
    [
        (
            DecodeConfig(short_side=64, max_pixels=4095),
            "frame must have <= 4095 pixels (decode.max_pixels), got 64x64",
        ),
        (
            DecodeConfig(short_side=128, max_output_pixels=10_000),
            "output frame must have <= 10000 pixels (decode.max_output_pixels), got 128x128",
        ),
        (
            DecodeConfig(short_side=64, max_frames=9),
            "clip must have <= 9 frames (decode.max_frames), got 10 up to source frame 9",
        ),
    ],
)
def test_limit_is_named_in_the_refusal(
    config: DecodeConfig, detail: str, tmp_path: Path, write_video: WriteVideo
) -> None:
    error = refuse(write_video(tmp_path / "a.mp4", 10), config=config)
    assert (error.outcome, error.detail) == (Outcome.TOO_LARGE, detail)


def test_limits_themselves_are_allowed(tmp_path: Path, write_video: WriteVideo) -> None:
    config = DecodeConfig(short_side=64, max_pixels=4096, max_output_pixels=4096, max_frames=10)
    frames, _ = decode(write_video(tmp_path / "a.mp4", 10), config=config)
    assert len(frames) == 10


@pytest.mark.parametrize(
    "name", ["fps", "short_side", "max_pixels", "max_output_pixels", "max_frames"]
)
def test_settings_below_one_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^decode\.{name} must be >= 1, got 0$"):
        DecodeConfig(**{name: 0})


def test_cut_off_mkv_is_flagged_by_its_duration(
    tmp_path: Path, write_video: WriteVideo, read_index: ReadIndex
) -> None:
    data = write_video(tmp_path / "a.mkv", 100, options={"g": "10", "bf": "0"}).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    frames, decoder = decode(tmp_path / "cut.mkv")
    count = len(frames)
    assert 20 < count < 75
    assert [read_index(frame.rgb) for frame in frames] == list(range(count))
    seconds = count / 25
    missing = len(data) - len(data) // 2
    assert decoder.truncation() == (
        f"the video ends after {seconds:.2f} s of 4.00 s declared; "
        f"{missing} bytes are missing at the end of the file"
    )


def test_cut_off_avi_is_flagged_by_its_count(tmp_path: Path, write_video: WriteVideo) -> None:
    data = write_video(tmp_path / "a.avi", 40, codec="mpeg4").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) * 8 // 10])
    frames, decoder = decode(tmp_path / "cut.avi")
    assert decoder.info.declared_frames == 40
    assert 1 < len(frames) < 39
    loss = f"{decoder.num_decoded} frames decoded of 40 declared"
    assert decoder.truncation() == f"{loss}; the file is cut off, or parts of it are missing"


@pytest.mark.parametrize("kind", ["pyav", "decord"])
def test_refused_packet_is_flagged_and_the_rest_is_kept(
    kind: str,
    tmp_path: Path,
    write_video: WriteVideo,
    break_packet: BreakPacket,
    read_index: ReadIndex,
) -> None:
    path = write_video(tmp_path / "a.mp4", 60, options={"g": "10", "bf": "0"})
    config = DecodeConfig(short_side=64, decoder=kind)  # type: ignore[arg-type]
    frames, decoder = decode(break_packet(path, 30), config=config)
    assert decoder.num_decoded == 59
    assert decoder.truncation() == (
        "1 packet could not be decoded (first error: damaged data); "
        "59 frames decoded of 60 declared"
    )
    shown = [read_index(frame.rgb) for frame in frames]
    assert shown[:29] == list(range(29))
    assert shown[-15:] == list(range(45, 60))


class FailingContainer:
    """Gives some packets, then fails at every further read."""

    def __init__(self, container: Any, num_packets: int) -> None:
        self._packets = iter(list(container.demux(video=0))[:num_packets])

    def demux(self) -> Iterator[Any]:
        yield from self._packets
        raise av.error.InvalidDataError(1094995529, "broken place")


def test_file_that_cannot_be_read_on_ends_with_what_was_read(
    tmp_path: Path, write_video: WriteVideo, read_index: ReadIndex
) -> None:
    with open_pyav(write_video(tmp_path / "a.mkv", 30), LIMITS) as source:
        source._container = FailingContainer(source._container, 20)
        frames = [read_index(frame.to_rgb()) for frame in source.frames()]
    assert len(frames) == 20
    assert frames == sorted(frames)
    assert source.damage.num_errors == 1
    assert source.damage.first_error == "damaged data"


def test_wrong_suffix_does_not_matter(tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "a.mkv", 10).rename(tmp_path / "a.avi")
    frames, decoder = decode(path)
    assert decoder.info.container == "matroska,webm"
    assert len(frames) == 10


def test_path_with_odd_characters_opens(tmp_path: Path, write_video: WriteVideo) -> None:
    folder = tmp_path / "Yards!!! #1 [50%] 名前"
    folder.mkdir()
    frames, _ = decode(write_video(folder / "-a b;c'd&.mp4", 3))
    assert len(frames) == 3


def test_decoded_frames_are_contiguous_uint8_rgb(tmp_path: Path, write_video: WriteVideo) -> None:
    frames, _ = decode(write_video(tmp_path / "a.mp4", 2))
    for frame in frames:
        assert frame.rgb.dtype == np.uint8
        assert frame.rgb.flags.c_contiguous
