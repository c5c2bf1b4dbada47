"""Real and broken videos: outside references for indices, times, losses and refusals."""

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from schemas.errors import RecordError
from schemas.outcome import Outcome
from video.decode import ClipDecoder, DecodeConfig, DecodedFrame, open_clip
from video.pyav_source import ReadLimits, open_pyav

pytestmark = pytest.mark.corpus

FpsFilter = Callable[..., list[int]]
LIMITS = ReadLimits(max_pixels=1 << 26, max_packets=10_000)


def decode(path: Path, *, short_side: int = 64) -> tuple[list[DecodedFrame], ClipDecoder]:
    config = DecodeConfig(short_side=short_side)
    with open_clip(
        path, start_seconds=None, end_seconds=None, is_trimmed=None, config=config
    ) as clip:
        return list(clip.frames()), clip


def output_stamps(path: Path) -> tuple[list[int], list[int], Fraction]:
    """pts and durations of the frames as FFmpeg gives them, and their time base."""
    with av.open(str(path), metadata_errors="replace") as container:
        frames = list(container.decode(video=0))
        assert all(frame.pts is not None for frame in frames)
        step = 1 / container.streams.video[0].average_rate
    base = frames[0].time_base
    return [f.pts for f in frames], [f.duration or round(step / base) for f in frames], base


@pytest.mark.slow
def test_hmdb51_frames_follow_the_packet_clock(corpus: Path, fps_filter: FpsFilter) -> None:
    # FFmpeg makes up time stamps for reordered frames that go back and forth.
    paths = sorted((corpus / "videos" / "hmdb51").rglob("*.avi"))
    assert len(paths) == 7
    for path in paths:
        frames, clip = decode(path, short_side=16)
        assert clip.info.frame_rate is not None
        step = 1 / clip.info.frame_rate
        first = frames[0].source_timestamp_us
        start = round(first / float(step * 1_000_000))
        ticks = list(range(start, start + clip.num_decoded))
        shown = fps_filter(ticks, [1] * len(ticks), step)
        assert [frame.source_index for frame in frames] == shown
        expected = [first + float(index * step * 1_000_000) for index in shown]
        assert [frame.source_timestamp_us for frame in frames] == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(
    "name",
    [
        "kinetics/SOX5yA1l24A.mp4",
        "kinetics/airdrum.mp4",
        "kinetics/flipping_a_pancake.mkv",
        "kinetics/mmaction2_demo_arm_wrestling.mp4",
        "kinetics/mmaction2_tests_test.mp4",
        "ucf101/v_Punch_g01_c01.avi",
        "bad/made_vfr.mkv",
        "bad/made_vfr.mp4",
        "bad/made_1fps.mp4",
        "bad/made_120fps.mp4",
        "bad/fate_h264_empty_edit_5s.mp4",
        "bad/psd_delayed_start.mp4",
    ],
)
def test_real_stamps_select_the_frames_of_ffmpegs_fps_filter(
    name: str, corpus: Path, fps_filter: FpsFilter
) -> None:
    path = corpus / "videos" / name
    frames, _ = decode(path)
    assert [frame.source_index for frame in frames] == fps_filter(*output_stamps(path))


def test_avi_frames_follow_the_packet_clock(corpus: Path, fps_filter: FpsFilter) -> None:
    path = corpus / "videos" / "ucf101" / "v_Basketball_g01_c01.avi"
    frames, clip = decode(path)
    stamps = list(range(clip.num_decoded))  # an AVI has no time stamps: one frame a tick
    expected = fps_filter(stamps, [1] * len(stamps), Fraction(1001, 30000))
    assert [frame.source_index for frame in frames] == expected


def test_decoder_order_equals_the_published_frames(corpus: Path) -> None:
    # Published as frame i = decoded frame max(0, i - 2); neighbours are almost equal.
    videos = corpus / "videos"
    with open_pyav(videos / "ucf101" / "v_ApplyEyeMakeup_g01_c01.avi", LIMITS) as source:
        decoded = [frame.to_rgb()[..., ::-1].astype(np.float32) for frame in source.frames()]
    references = sorted((videos / "ref_frames" / "v_ApplyEyeMakeup_g01_c01").glob("*.jpg"))
    assert len(references) == 40
    found = []
    for path in references:
        published = cv2.imread(str(path)).astype(np.float32)
        found.append(int(np.argmin([np.abs(frame - published).mean() for frame in decoded[:48]])))
    assert found == [0, *range(39)]


NO_FRAMES = {
    "made_audio_only.mp4": Outcome.NO_VIDEO_STREAM,
    "made_header_only.avi": Outcome.UNREADABLE,
    "made_html_error_page.mp4": Outcome.UNREADABLE,
    "made_random_bytes.mp4": Outcome.UNREADABLE,
    "made_text.avi": Outcome.UNREADABLE,
    "made_truncated_half_a.mp4": Outcome.UNREADABLE,
    "made_truncated_half_b.mp4": Outcome.UNREADABLE,
    "made_zero_byte.mp4": Outcome.EMPTY,
    "mp4parse_bipbop_480wp_1001kbps-cenc-video-key1-init.mp4": Outcome.UNREADABLE,
    "mp4parse_invalid_userdata.mp4": Outcome.UNREADABLE,
    "mp4parse_sine-3s-xhe-aac-44khz-mono.mp4": Outcome.NO_VIDEO_STREAM,
    "mp4parse_zero_empty_stsc.mp4": Outcome.UNREADABLE,
}


@pytest.mark.slow
def test_every_bad_file_gives_frames_or_its_outcome(corpus: Path) -> None:
    refused: dict[str, RecordError] = {}
    for path in sorted((corpus / "videos" / "bad").iterdir()):
        try:
            frames, _ = decode(path, short_side=32)
        except RecordError as error:
            refused[path.name] = error
        else:
            assert frames
            assert len({frame.rgb.shape for frame in frames}) == 1
            assert np.diff([frame.timestamp_us for frame in frames]).tolist() == [40_000] * (
                len(frames) - 1
            )
            assert (np.diff([frame.source_index for frame in frames]) >= 0).all()
    assert {name: error.outcome for name, error in refused.items()} == NO_FRAMES
    for name, error in refused.items():
        assert error.detail
        assert name not in error.detail


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["hmdb51", "kinetics", "ucf101"])
def test_intact_files_are_not_flagged(folder: str, corpus: Path) -> None:
    paths = sorted((corpus / "videos" / folder).rglob("*.*"))
    flagged = {path.name: decode(path, short_side=16)[1].truncation() for path in paths}
    assert len(flagged) >= 5
    assert not any(flagged.values()), flagged


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("made_truncated_90pct.avi", "129 frames decoded of 141 declared"),
        ("made_truncated_half.mkv", "the video ends after 5.00 s of 10.33 s declared"),
        ("made_fuzz_avi_1.avi", "1 packet could not be decoded"),
        ("made_fuzz_mkv_0.mkv", "283 frames decoded of about 310, some of them damaged"),
        ("made_fuzz_mkv_1.mkv", "145 frames decoded of about 310, some of them damaged"),
        ("made_fuzz_mp4_1.mp4", "1 packet could not be decoded"),
        ("made_zeroed_middle.mp4", "26 packets could not be decoded"),
        ("decord_corrupted.mp4", "1 packet could not be decoded"),
        ("fate_h264_displaymatrix.mp4", "1 packet could not be decoded"),
    ],
)
def test_lost_frames_are_flagged(name: str, loss: str, corpus: Path) -> None:
    _, clip = decode(corpus / "videos" / "bad" / name, short_side=16)
    assert clip.truncation().startswith(loss)


@pytest.mark.parametrize(
    "name",
    [
        "fate_h264_mov-2elist-elist1-ends-bframe.mp4",
        "fate_h264_mov_stream_shorter_than_movie.mp4",
        "made_vfr.mkv",
        "made_1fps.mp4",
        "made_one_frame.mp4",
        "made_neg_start_5s_offset.mkv",
    ],
)
def test_edit_lists_and_odd_rates_are_not_flagged(name: str, corpus: Path) -> None:
    _, clip = decode(corpus / "videos" / "bad" / name, short_side=16)
    assert clip.truncation() == ""


@pytest.mark.parametrize("name", ["made_fuzz_avi_0.avi", "made_fuzz_mp4_0.mp4"])
def test_damaged_pixels_are_noted(name: str, corpus: Path) -> None:
    _, clip = decode(corpus / "videos" / "bad" / name, short_side=16)
    assert clip.truncation() == ""
    assert re.fullmatch(r"frames with visible damage: \d+", clip.notes())


def one_frame(path: Path) -> npt.NDArray[np.uint8]:
    return decode(path, short_side=64)[0][0].rgb


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("made_anamorphic_sar_16_11.mp4", (78, 64, 3)),
        ("mp4parse_h264_white_frame_sar_16_9.mp4", (64, 152, 3)),
        ("mp4parse_video_rotation_90.mp4", (107, 64, 3)),
        ("made_strip_1920x16.mp4", (64, 7680, 3)),
        ("made_odd_height_322x241.mkv", (64, 86, 3)),
        ("made_odd_321x241_yuv444.mp4", (64, 85, 3)),
        ("made_gray.mkv", (113, 64, 3)),
        ("made_rgb24.mkv", (113, 64, 3)),
    ],
)
def test_odd_geometry_gives_square_pixels(
    name: str, shape: tuple[int, int, int], corpus: Path
) -> None:
    assert one_frame(corpus / "videos" / "bad" / name).shape == shape


def test_strip_that_would_grow_too_large_is_refused(corpus: Path) -> None:
    path = corpus / "videos" / "bad" / "made_16k_flat_16384x64.mkv"
    with pytest.raises(RecordError, match="output frame must have <= 4194304 pixels") as caught:
        decode(path, short_side=256)
    assert caught.value.outcome is Outcome.TOO_LARGE
