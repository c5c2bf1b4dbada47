"""What a file says about its own structure."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.small_clips import FORMATS, write_clip
from schemas.errors import RecordError
from video.decode import ClipDecoder, DecodeConfig, open_clip
from video.file_structure import missing_bytes, top_level_boxes
from video.unreadable import describe_unreadable

WriteVideo = Callable[..., Path]


@pytest.mark.parametrize("name", ["h264.mkv", "vp9.webm", "wmv2.wmv"])
@pytest.mark.parametrize("lost", [0, 1, 500])
def test_file_that_states_its_length_tells_what_is_missing(
    name: str, lost: int, tmp_path: Path
) -> None:
    form = next(form for form in FORMATS if form.name == name)
    path = write_clip(tmp_path / name, form)
    path.write_bytes(path.read_bytes()[: path.stat().st_size - lost])
    assert missing_bytes(path) == lost


@pytest.mark.parametrize(("lost", "missing"), [(0, 0), (1, 1), (188, 0), (200, 12)])
def test_transport_stream_consists_of_whole_packets(
    lost: int, missing: int, tmp_path: Path, write_video: WriteVideo
) -> None:
    path = write_video(tmp_path / "a.ts", 10)
    path.write_bytes(path.read_bytes()[: path.stat().st_size - lost])
    assert missing_bytes(path) == missing


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        bytes.fromhex("1a45dfa3"),
        bytes.fromhex("1a45dfa300"),
        bytes.fromhex("1a45dfa38118538067"),
        bytes.fromhex("1a45dfa380185380670affff"),
        bytes.fromhex("1a45dfa38018538067ff"),  # unknown size: a live recording
        bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(100),
        b"G" * 100,
    ],
)
def test_file_that_does_not_state_its_length_misses_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content)
    assert missing_bytes(tmp_path / "a") == 0


def test_boxes_are_read_until_one_makes_no_sense(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    large = b"\0\0\0\x01mdat" + (24).to_bytes(8, "big") + bytes(8)
    path.write_bytes(b"\0\0\0\x08ftyp" + large + b"\0\0\0\0free" + b"rest")
    assert top_level_boxes(path) == ["ftyp", "mdat", "free"]
    path.write_bytes(b"\0\0\0\x08ftyp" + b"\0\0\0\x07moov")
    assert top_level_boxes(path) == ["ftyp"]
    path.write_bytes(b"\0\0\0\x08\xff\xff\xff\xff")
    assert top_level_boxes(path) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bytes(9000), "it begins with 4096 zero bytes: the download was not finished"),
        (b"\n\n  404 not found\nx", "it is a text, not a video, and begins with '404 not found'"),
        ("é".encode() * 3000, f"it is a text, not a video, and begins with '{'é' * 40}...'"),
        (b"\xef\xbb\xbfvideo,label", "it is a text, not a video, and begins with 'video,label'"),
        (
            b"\0\0\0\x08ftyp\0\0\x10\0mdat\xff",
            "its index (MP4 box moov) is missing: the end is cut off or was never written",
        ),
        (
            b"\xff\xfe\xfd",
            "its 3 bytes are in no format that FFmpeg knows, or the header is damaged",
        ),
        (b"\x1b[31m", "its 5 bytes are in no format that FFmpeg knows, or the header is damaged"),
    ],
)
def test_unreadable_file_is_described_in_words(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content)
    assert describe_unreadable(tmp_path / "a") == words


def _decode(path: Path) -> ClipDecoder:
    with open_clip(
        path,
        start_seconds=None,
        end_seconds=None,
        is_trimmed=True,
        config=DecodeConfig(short_side=16),
    ) as decoder:
        assert list(decoder.frames())
    return decoder


CUTS = (*range(5, 100, 10), 99)
STATING = (
    *("plain.mp4", "faststart.mp4", "fragments.mp4", "mjpeg.mov", "h263.3gp", "silent.mkv"),
    *("ffv1.mkv", "vp9.webm", "xvid.avi", "mjpeg.avi", "h264.ts", "wmv2.wmv"),
)


@pytest.mark.slow
@pytest.mark.parametrize("name", STATING)
def test_cut_off_file_is_never_silently_short(name: str, tmp_path: Path) -> None:
    form = next(form for form in FORMATS if form.name == name)
    path = write_clip(tmp_path / name, form)
    whole = _decode(path)
    assert (whole.num_decoded, whole.truncation(), whole.notes()) == (25, "", "")
    data = path.read_bytes()
    flagged = 0
    for percent in CUTS:
        path.write_bytes(data[: len(data) * percent // 100])
        try:
            decoder = _decode(path)
        except RecordError as error:
            flagged += bool(error.detail)
        else:
            assert decoder.num_decoded == 25 or decoder.truncation()
            flagged += bool(decoder.truncation())
    assert flagged >= len(CUTS) - 3


def test_intact_clips_of_all_formats_are_complete(tmp_path: Path) -> None:
    for form in FORMATS:
        if form.codec != "libsvtav1":  # talks on standard error
            decoder = _decode(write_clip(tmp_path / form.name, form))
            assert (decoder.num_decoded, decoder.truncation(), decoder.notes()) == (25, "", "")
