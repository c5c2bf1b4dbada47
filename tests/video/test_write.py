"""Videos and pictures written for people: playable everywhere, whole or not there."""

from collections.abc import Iterator
from pathlib import Path

import av
import av.codec
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from schemas.errors import ConfigError
from video.write import check_video_path, write_image, write_video

UInt8 = npt.NDArray[np.uint8]
COLORS = ((255, 0, 0), (0, 200, 0), (30, 60, 250))


def stripes(height: int = 51, width: int = 121) -> UInt8:
    """Three coloured bars."""
    image = np.zeros((height, width, 3), np.uint8)
    for index, color in enumerate(COLORS):
        image[:, index * 40 : (index + 1) * 40 + 1] = color
    return image


def test_video_is_what_browsers_and_players_want(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    assert write_video(path, [stripes()] * 5, fps=25) == (5, 122, 52)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "the index must come first"
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.average_rate) == (122, 52, 25)


def test_colors_and_order_come_back(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    write_video(path, [stripes(), 255 - stripes()], fps=25)
    with av.open(str(path)) as container:
        first, second = [each.to_ndarray(format="rgb24") for each in container.decode(video=0)]
    seen = [first[25, x].astype(int) for x in (20, 60, 100)]
    np.testing.assert_allclose(seen, COLORS, atol=4)
    np.testing.assert_allclose(second[25, 60].astype(int), (255, 55, 255), atol=4)


def test_older_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "-a b.MP4"
    path.write_text("old")
    write_video(path, [stripes()], fps=25)
    assert [each.name for each in tmp_path.iterdir()] == ["-a b.MP4"]
    assert path.stat().st_size > 500


def test_failure_leaves_the_older_file_and_no_part(tmp_path: Path) -> None:
    def frames() -> Iterator[UInt8]:
        for _ in range(100):  # more than the encoder holds back
            yield stripes()
        raise RuntimeError("planted")

    path = tmp_path / "out.mp4"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="planted"):
        write_video(path, frames(), fps=25)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.avi", r"output must end in \.mp4, got .*out\.avi"),
        ("nowhere/out.mp4", r"output must be a file in an existing folder, got .*nowhere"),
        ("folder.mp4", r"output must be a file in an existing folder, got .*folder\.mp4"),
    ],
)
def test_path_that_cannot_work_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(ConfigError, match=message):
        check_video_path("output", tmp_path / name)


def test_missing_encoder_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("video.write._ENCODER", "libnosuch264")
    with pytest.raises(ConfigError, match=r"must have the H\.264 encoder .* run: pip install"):
        write_video(tmp_path / "out.mp4", [stripes()], fps=25)


def test_frames_of_two_sizes_and_no_frames_are_bugs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"H=51, W=121, C=3, got uint8 \[51, 40, 3\]"):
        write_video(tmp_path / "out.mp4", [stripes(), stripes(51, 40)], fps=25)
    with pytest.raises(ValueError, match="at least one frame, got none"):
        write_video(tmp_path / "out.mp4", [], fps=25)
    assert list(tmp_path.iterdir()) == []


def test_picture_comes_back_exactly(tmp_path: Path) -> None:
    write_image(tmp_path / "out.png", stripes())
    bgr = cv2.imread(str(tmp_path / "out.png"))
    np.testing.assert_array_equal(bgr[..., ::-1], stripes())
    with pytest.raises(ValueError, match=r"image must be uint8 \[H, W, C\] with C=3"):
        write_image(tmp_path / "gray.png", stripes()[..., 0])
