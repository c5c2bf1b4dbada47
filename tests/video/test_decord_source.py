"""decord gives exactly what PyAV gives, or PyAV is asked instead."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import ConfigError
from video.decode import DecodeConfig, DecodedFrame, open_clip
from video.decord_source import open_decord
from video.pyav_source import PyavSource, ReadLimits

decord = pytest.importorskip("decord")

WriteVideo = Callable[..., Path]
LIMITS = ReadLimits(max_pixels=1 << 26, max_packets=10_000)


def decode(
    path: Path, decoder: str, *, start: float | None = None, end: float | None = None
) -> tuple[list[DecodedFrame], str]:
    config = DecodeConfig(short_side=96, decoder=decoder)  # type: ignore[arg-type]
    with open_clip(
        path, start_seconds=start, end_seconds=end, is_trimmed=False, config=config
    ) as clip:
        return list(clip.frames()), clip.truncation()


def check_equal(path: Path, *, start: float | None = None, end: float | None = None) -> None:
    ours, loss = decode(path, "pyav", start=start, end=end)
    theirs, their_loss = decode(path, "decord", start=start, end=end)
    assert their_loss == loss
    for name in ("timestamp_us", "source_index", "source_timestamp_us"):
        assert [getattr(f, name) for f in theirs] == [getattr(f, name) for f in ours]
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(other.rgb, mine.rgb)


def reads_with_decord(path: Path) -> bool:
    with open_decord(path, LIMITS) as source:
        return not isinstance(source, PyavSource)


def test_decord_gives_pyavs_frames(tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "a.mp4", 50, size=(96, 64), rate=30)
    assert reads_with_decord(path)
    check_equal(path)
    check_equal(path, start=0.4, end=0.8)


def test_decord_gives_pyavs_frames_at_a_variable_rate(
    tmp_path: Path, write_video: WriteVideo
) -> None:
    stamps = [0, 100, 140, 400, 410, 900]
    path = write_video(tmp_path / "a.mp4", 6, milliseconds=stamps)
    assert reads_with_decord(path)
    check_equal(path)


@pytest.mark.parametrize(
    ("name", "codec", "size", "pixel_format"),
    [
        ("a.avi", "mpeg4", (64, 64), "yuv420p"),
        ("a.mkv", "libx264", (64, 64), "yuv420p"),
        ("a.mp4", "mpeg4", (64, 64), "yuv420p"),
        ("10bit.mp4", "libx264", (64, 64), "yuv420p10le"),
        ("444.mp4", "libx264", (64, 64), "yuv444p"),
        ("tiny.mp4", "libx264", (16, 16), "yuv420p"),
        ("narrow.mp4", "libx264", (32, 96), "yuv420p"),
    ],
)
def test_what_decord_gets_wrong_goes_to_pyav(
    name: str,
    codec: str,
    size: tuple[int, int],
    pixel_format: str,
    tmp_path: Path,
    write_video: WriteVideo,
) -> None:
    path = write_video(tmp_path / name, 8, codec=codec, size=size, pixel_format=pixel_format)
    assert not reads_with_decord(path)
    check_equal(path)


def test_pyav_reads_on_where_decord_gives_up(
    tmp_path: Path, write_video: WriteVideo, break_packet: Callable[[Path, int], Path]
) -> None:
    path = write_video(tmp_path / "a.mp4", 60, options={"g": "10", "bf": "0"})
    break_packet(path, 30)
    assert reads_with_decord(path)
    reader = decord.VideoReader(str(path), num_threads=1)
    with pytest.raises(decord.DECORDError):
        _ = [reader[index] for index in range(60)]
    check_equal(path)


def test_missing_decord_is_a_config_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    message = r"^decode\.decoder=decord needs the package decord; run: pip install decord$"
    with pytest.raises(ConfigError, match=message), open_decord(tmp_path / "a.mp4", LIMITS):
        pass


@pytest.mark.corpus
@pytest.mark.parametrize(
    "name",
    ["SOX5yA1l24A.mp4", "airdrum.mp4", "mmaction2_demo_arm_wrestling.mp4"],
)
def test_decord_gives_pyavs_frames_of_kinetics_videos(name: str, corpus: Path) -> None:
    path = corpus / "videos" / "kinetics" / name
    assert reads_with_decord(path)
    check_equal(path, start=0.0, end=4.0)


@pytest.mark.corpus
@pytest.mark.parametrize(
    "name",
    [
        "decord_corrupted.mp4",
        "decord_rot_0.mov",
        "decord_rot_90.mov",
        "decord_rot_180.mov",
        "decord_unordered.mov",
        "fate_h264_empty_edit_5s.mp4",
        "fate_h264_mov-2elist-elist1-ends-bframe.mp4",
        "fate_h264_mov_stream_shorter_than_movie.mp4",
        "fate_h264_test_iibbibb_neg_ctts.mp4",
        "made_10bit_h264.mp4",
        "made_fuzz_mp4_0.mp4",
        "made_fuzz_mp4_1.mp4",
        "made_tiny_16x16.mp4",
        "made_vfr.mp4",
        "made_zeroed_middle.mp4",
        "mp4parse_no_timescale.mp4",
    ],
)
def test_decord_gives_pyavs_frames_of_odd_and_damaged_files(name: str, corpus: Path) -> None:
    check_equal(corpus / "videos" / "bad" / name)


@pytest.mark.corpus
@pytest.mark.parametrize("degrees", [0, 90, 180])
def test_frames_are_turned_as_decord_turns_them(degrees: int, corpus: Path) -> None:
    path = corpus / "videos" / "bad" / f"decord_rot_{degrees}.mov"
    frames = decord.VideoReader(str(path), num_threads=1)
    height, width = frames[0].shape[:2]
    config = DecodeConfig(short_side=min(height, width))
    with open_clip(
        path, start_seconds=None, end_seconds=None, is_trimmed=None, config=config
    ) as clip:
        ours = list(clip.frames())
    for frame in ours:
        np.testing.assert_array_equal(frame.rgb, frames[frame.source_index].asnumpy())
