"""The command line: frozen names, exit statuses, readable errors."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cli import main

BUILD_OPTIONS = {
    *("--dataset", "--annotations", "--videos", "--split", "--output", "--modalities"),
    *("--formats", "--num-shards", "--workers", "--limit", "--label-map", "--pose-backend"),
    *("--flow-engine", "--strict", "--clip-timeout-seconds", "--max-failed-fraction"),
    *("--pose-storage", "--follow-links", "--reuse"),
    *("--clip-cpu-seconds", "--clip-memory-mib", "--clip-disk-mib", "--accelerator"),
    *("--decode.fps", "--decode.short-side", "--decode.decoder", "--flow.bound-px"),
    *("--pose.max-people", "--max-people", "--pose.onnx.detector", "--pose.onnx.estimator"),
    *("--pose.onnx.detector-spec", "--pose.onnx.estimator-spec", "--pose.onnx.provider"),
    *("--pose.poses", "--pose.model", "--render.background", "--render.marker"),
    *("--render.colors", "--render.ratio-aware", "--jpeg.rgb-quality"),
    *("--pa.bound", "--pa.weights", "--jpeg.pa-quality"),
}


def test_option_names_others_script_against_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--help"]) == 0
    shown = set(re.findall(r"--[a-z][a-z0-9.-]*", capsys.readouterr().out))
    assert shown >= BUILD_OPTIONS, f"renamed or lost: {BUILD_OPTIONS - shown}"


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    commands = ("build", "verify", "stats", "report", "preview", "show", "export", "models")
    commands += ("pose-eval",)
    assert all(f"  {command} " in text for command in commands)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: perfnet-prep COMMAND"),
        (["biuld"], "usage: perfnet-prep COMMAND"),
        (["build", "--dataset", "ucf102"], "invalid choice 'ucf102'"),
        (["build", "--datset", "ucf101"], "--dataset"),
        (["verify"], "Required options"),
        (["models", "fetsh"], "invalid choice 'fetsh'"),
        (["models", "fetch", "nosuch"], "asset must be one of mediapipe-pose-full"),
        (["models", "fetch", "yolox-nano", "--from", "nowhere"], "--from must be a readable file"),
        (["pose-eval"], "Required options"),
    ],
)
def test_typo_ends_with_status_2_and_says_what_is_expected(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.out + printed.err


def _build(tmp_path: Path, **options: str) -> list[str]:
    values = {"dataset": "csv", "split": "all", "videos": str(tmp_path / "videos"), "output": "out"}
    values.update({"annotations": "rows.csv", **options})
    arguments = ["build", "--modalities", "rgb"]
    for name, value in values.items():
        arguments += [f"--{name.replace('_', '-')}", value]
    return arguments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": "0"}, "workers must be >= 1, got 0"),
        ({"num_shards": "0"}, "num_shards must be >= 1, got 0"),
        ({"annotations": ""}, "annotations must be given unless"),
        ({"dataset": "folder"}, "annotations must not be given with"),
        ({"max_failed_fraction": "2"}, "max_failed_fraction must be 0 to 1, got 2.0"),
        ({"clip_timeout_seconds": "0"}, "clip_timeout_seconds must be > 0, got 0.0"),
        ({"clip_disk_mib": "0"}, "clip_disk_mib must be >= 1, got 0"),
        ({"clip_cpu_seconds": "-1"}, "clip_cpu_seconds must be > 0, got -1.0"),
        (
            {"clip_memory_mib": "100"},
            "clip_memory_mib must be >= 512, what the libraries need",
        ),
        ({"jpeg.rgb_quality": "0"}, "jpeg.rgb_quality must be 1 to 100, got 0"),
        ({"decode.fps": "0"}, "decode.fps must be >= 1, got 0"),
        ({"flow.bound_px": "0"}, "flow.bound_px must be > 0, got 0.0"),
        ({"annotations": "nowhere.csv"}, "nowhere.csv"),
        ({"videos": "nowhere"}, "videos must be an existing folder, got nowhere"),
        ({"label_map": "nowhere.txt"}, "label_map must be a readable UTF-8 file"),
        ({"pose_backend": "precomputed", "modalities": "pose"}, "pose.poses must be a file"),
        ({"pose.max_people": "0"}, "max_people must be >= 1, got 0"),
        (
            {"pose.model": "rows.csv", "modalities": "pose"},
            "pose.model must be a MediaPipe .task bundle, got another file, rows.csv",
        ),
        ({"label_map": "empty.txt"}, "label_map must have one label per line, got an empty"),
        (
            {"label_map": "gap.txt"},
            "label_map must have one label per line, got a blank line in gap.txt:2",
        ),
        ({"output": "videos/out"}, "output must not lie in the videos folder"),
        ({"output": "rows.csv"}, "output must be a folder that can be written, got rows.csv"),
        ({"output": "nosuch://a/b"}, "output must be a local path or one that Apache Beam can"),
        ({"split": "../x"}, "split must be letters, digits"),
        ({"split": ""}, "split must be letters, digits"),
    ],
)
def test_bad_setting_ends_with_status_2_before_work_starts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "gap.txt").write_text("x\n\ny\n")
    (tmp_path / "rows.csv").write_text("video,label\na.mp4,x\n")
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(b"1")
    assert main(_build(tmp_path, **options)) == 2
    printed = capsys.readouterr()
    text = re.sub(r"[\s│]+", " ", printed.out + printed.err)
    assert message in text
    assert "Traceback" not in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--nosuch=1"], "Beam options must be known to Beam, got --nosuch=1"),
        (["--direct_num_workers=abc"], "Beam options must be valid, got"),
        (["--runner=NoSuch"], "--runner must be a runner that Beam has, got NoSuch"),
    ],
)
def test_bad_beam_option_ends_with_status_2_before_work_starts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("video,label\na.mp4,x\n")
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(b"1")
    assert main([*_build(tmp_path), "--", *flags]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "state" / "plan.jsonl").exists()


@pytest.mark.slow
def test_module_is_runnable() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "--help"], capture_output=True, text=True, check=True
    )
    assert "usage: perfnet-prep" in done.stdout


@pytest.mark.slow
def test_command_line_starts_without_beam_and_tensorflow() -> None:
    code = (
        "import sys, pipelines.cli;"
        "heavy = {'apache_beam', 'tensorflow', 'mediapipe'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
