"""A preview shows what a build stores, of any part of any file, and fails with a reason."""

import importlib
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from pipelines import isolation
from pipelines.cli import main
from pipelines.finished_output import open_output
from pipelines.side_by_side import side_by_side_frames
from renderers.pose import PoseRenderConfig
from video.write import write_video


@pytest.fixture
def preview(video_set: Path) -> Callable[..., int]:
    """Runs a quick preview with the settings that `built` was made with."""

    def run(*arguments: str) -> int:
        return main(
            [
                *("preview", "--flow-engine", "dis", "--decode.short-side", "48"),
                *("--pose-backend", "precomputed", "--pose.poses", str(video_set / "poses.pkl")),
                *arguments,
            ]
        )

    return run


def decode(path: Path) -> npt.NDArray[np.uint8]:
    with av.open(str(path)) as container:
        return np.stack([each.to_ndarray(format="rgb24") for each in container.decode(video=0)])


@pytest.mark.slow
def test_preview_shows_what_the_build_stored(
    preview: Callable[..., int],
    video_set: Path,
    built: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out.mp4"
    assert preview(str(video_set / "videos" / "a.mp4"), "-o", str(output)) == 0
    said = capsys.readouterr().out
    assert f"{output}: 12 frames at 25 fps of 64x48 px" in said
    assert "1.0 people per frame, decode" in said
    record = open_output(str(built)).read_record("a")
    stored = tmp_path / "stored.mp4"
    write_video(stored, side_by_side_frames(record, render=PoseRenderConfig()), fps=25)
    assert decode(output).shape == (12, 172, 592, 3)
    np.testing.assert_array_equal(decode(output), decode(stored))


@pytest.mark.slow
def test_name_with_a_dash_and_a_part_of_the_video(
    preview: Callable[..., int],
    video_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(video_set / "videos" / "a.mp4", tmp_path / "-abc.mp4")
    monkeypatch.chdir(tmp_path)
    part = ("--start-seconds", "0.1", "--end-seconds", "0.3", "--modalities", "flow")
    assert preview("-o", "-x.mp4", *part, "--", "-abc.mp4") == 2
    assert preview("--output=-x.mp4", *part, "--", "-abc.mp4") == 0
    assert decode(tmp_path / "-x.mp4").shape == (5, 172, 200, 3)
    assert preview("-o", "y.mp4", "--start-seconds", "3", "./-abc.mp4") == 1
    printed = capsys.readouterr()
    assert "-abc: too_short: the time range holds no frame" in printed.err
    assert not (tmp_path / "y.mp4").exists()


@pytest.mark.slow
def test_unreadable_video_and_crash_are_one_line(
    preview: Callable[..., int],
    video_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out.mp4"
    assert preview(str(video_set / "videos" / "broken.mp4"), "-o", str(output)) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("perfnet-prep: broken: unreadable: ")
    assert printed.count("\n") == 1
    (tmp_path / "planted_crash.py").write_text(
        textwrap.dedent("""
            import os, signal
            def process(task, video_path, *files):
                os.kill(os.getpid(), signal.SIGSEGV)
        """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    planted = importlib.import_module("planted_crash")
    monkeypatch.setattr(isolation, "_process_in_child", planted.process)
    assert preview(str(video_set / "videos" / "a.mp4"), "-o", str(output)) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("perfnet-prep: a: crashed: the process working on it died twice")
    assert "Traceback" not in printed
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.mp4", "-o", "out.mp4"], "video must be an existing file, got nowhere.mp4"),
        ([".", "-o", "out.mp4"], "video must be an existing file, got ."),
        (["a.mp4", "-o", "out.avi"], "output must end in .mp4, got out.avi"),
        (["a.mp4", "-o", "no/out.mp4"], "output must be a file in an existing folder"),
        (["a.mp4", "-o", "a.mp4"], "output must be another file than the video, got a.mp4"),
        (["a.mp4", "-o", "gs://x/out.mp4"], "output must be a local file, got gs://x/out.mp4"),
        (["nosuch://a/b.mp4", "-o", "out.mp4"], "video must be a local path or one that"),
        (["a.mp4"], "--output"),
        (["a.mp4", "-o", "x.mp4", "--start-seconds", "-1"], "start_seconds must be >= 0"),
        (
            ["a.mp4", "-o", "x.mp4", "--start-seconds", "5", "--end-seconds", "5"],
            "end_seconds must be later than start_seconds (5) and finite, got 5.0",
        ),
        (["a.mp4", "-o", "x.mp4", "--end-seconds", "inf"], "and finite, got inf"),
        (
            ["a.mp4", "-o", "x.mp4", "--pose-backend", "precomputed"],
            "pose.poses must be a file or folder",
        ),
        (["a.mp4", "-o", "x.mp4", "--modalities", "rgb", "rgb"], "modalities must name"),
    ],
)
def test_bad_setting_ends_with_status_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"1")
    assert main(["preview", *arguments]) == 2
    printed = capsys.readouterr()
    text = " ".join((printed.out + printed.err).replace("│", " ").split())
    assert message in text
    assert "Traceback" not in text
    assert (tmp_path / "a.mp4").read_bytes() == b"1"
