"""The demo video: a real H.264 file with motion in it."""

import importlib.util
import itertools
import subprocess
import sys
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from pipelines.demo_video import main, make_demo_video
from schemas.errors import ConfigError


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "demo.mp4"
    make_demo_video(path, num_seconds=0.5)
    return path


@pytest.fixture(scope="module")
def frames(video: Path) -> npt.NDArray[np.uint8]:
    with av.open(str(video)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_video_is_h264_yuv420p_at_30_fps(video: Path) -> None:
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 30


def test_every_frame_decodes_at_its_size(frames: npt.NDArray[np.uint8]) -> None:
    assert frames.shape == (15, 256, 340, 3)


def test_face_is_lit_and_colored_as_skin(frames: npt.NDArray[np.uint8]) -> None:
    red, green, blue = frames[0, 100:130, 155:195].mean(axis=(0, 1))
    assert red > green > blue > 60


def test_motion_is_between_half_a_pixel_and_four_per_frame(
    frames: npt.NDArray[np.uint8],
) -> None:
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    window = cv2.createHanningWindow((340, 256), cv2.CV_32F)
    for before, after in itertools.pairwise(gray[:11]):
        shift, _ = cv2.phaseCorrelate(np.float32(before), np.float32(after), window)
        assert 0.5 < np.hypot(*shift) < 4


def test_same_bytes_on_every_run(video: Path, tmp_path: Path) -> None:
    for _ in range(5):
        make_demo_video(tmp_path / "again.mp4", num_seconds=0.5)
        digests = {sha256(path.read_bytes()).digest() for path in (video, tmp_path / "again.mp4")}
        assert len(digests) == 1


def test_length_and_rate_follow_the_arguments(tmp_path: Path) -> None:
    make_demo_video(tmp_path / "ntsc.mp4", num_seconds=0.2, fps=Fraction(30000, 1001))
    with av.open(str(tmp_path / "ntsc.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == Fraction(30000, 1001)
        assert sum(1 for _ in container.decode(video=0)) == 6


@pytest.mark.parametrize("num_seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_length_must_be_positive(tmp_path: Path, num_seconds: float) -> None:
    with pytest.raises(ConfigError, match=f"num_seconds must be > 0 and finite, got {num_seconds}"):
        make_demo_video(tmp_path / "none.mp4", num_seconds=num_seconds)


def test_rate_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fps must be > 0, got 0"):
        make_demo_video(tmp_path / "none.mp4", fps=0)


def test_missing_portrait_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="got nothing; pip install matplotlib"):
        make_demo_video(tmp_path / "none.mp4")
    assert main([str(tmp_path / "none.mp4")]) == 2
    assert "pip install matplotlib" in capsys.readouterr().err
    assert not (tmp_path / "none.mp4").exists()


def test_command_writes_the_file_and_prints_its_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "demo.mp4"
    assert main([str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert path.stat().st_size < 400_000


def test_module_imports_neither_beam_nor_matplotlib() -> None:
    code = (
        "import sys, pipelines.demo_video as demo; demo._load_portrait(); "
        "sys.exit(bool({'apache_beam', 'matplotlib'} & set(sys.modules)))"
    )
    repository = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code], cwd=repository, check=False)
    assert run.returncode == 0
