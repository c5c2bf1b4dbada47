"""Killed over a bucket: the same command goes on to the same bytes and leaves no orphan."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines import storage
from pipelines.build_shard import temp_folder
from pipelines.cli import main

pytestmark = pytest.mark.slow

Arguments = Callable[..., list[str]]
Contents = Callable[[str | Path], dict[str, Any]]
Upload = Callable[[Path, str], str]

STRIDE = 17
"""Every so many steps of writing are tried; all of them take minutes."""


def test_killed_before_a_step_of_writing_it_goes_on_to_the_same_bytes(
    cloud: str,
    upload: Upload,
    video_set: Path,
    contents: Contents,
) -> None:
    upload(video_set / "videos", f"{cloud}/videos")
    arguments = [
        *("--dataset", "csv", "--split", "all", "--annotations", str(video_set / "rows.csv")),
        *("--videos", f"{cloud}/videos", "--modalities", "rgb", "--limit", "3"),
        *("--num-shards", "2", "--decode.short-side", "48", "--max-failed-fraction", "1"),
    ]
    script = Path(__file__).with_name("remote_steps.py")
    command = [sys.executable, str(script), f"{cloud}/runs", str(STRIDE), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path.cwd(), check=False)
    assert done.returncode == 0, done.stderr
    num_steps = int(done.stdout)
    assert num_steps >= 40, "14 files are uploaded, copied and taken from their first names"
    whole = contents(f"{cloud}/runs/whole")
    for stop_at in range(1, num_steps + 1, STRIDE):
        assert contents(f"{cloud}/runs/{stop_at}") == whole, f"killed before step {stop_at}"


def test_killed_coordinator_and_child_leave_nothing_behind(
    cloud: str,
    remote_arguments: Arguments,
    contents: Contents,
    built: Path,
    tmp_path: Path,
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    arguments = remote_arguments("out", "--workers", "2")
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    output = f"{cloud}/out"
    _wait_for(lambda: any(".done." in name for name in storage.list_files(f"{output}/state")))
    child = next(pid for pid in _processes_of_session(process.pid) if pid != process.pid)
    os.kill(child, signal.SIGKILL)
    process.kill()
    process.wait()
    _wait_for(lambda: not _processes_of_session(process.pid))
    assert not [path for path in scratch.rglob("*") if path.is_file()]
    storage.write_text(f"{temp_folder(output)}/orphan", "of a killed upload", temp_folder=output)
    assert main([*arguments, "--retry-failed"]) == 0
    assert storage.list_files(temp_folder(output)) == {}
    assert contents(output) == contents(built)


def test_refused_upload_ends_the_run_with_one_line_and_the_next_goes_on(
    cloud: str,
    remote_arguments: Arguments,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from google.api_core.exceptions import Forbidden

    def refuse(*_arguments: object) -> None:
        raise Forbidden("worker@project may not create objects")  # type: ignore[no-untyped-call]

    arguments = remote_arguments("out", "--modalities", "rgb")
    with monkeypatch.context() as patch:
        patch.setattr("apache_beam.io.gcp.gcsio.GcsIO.copy_batch", refuse)
        assert main(arguments) == 1
    last = capsys.readouterr().err.strip().split("\n")[-1]
    assert last.startswith("perfnet-prep: gs://bucket/")
    assert "may not create objects" in last
    assert "the same command goes on where it stopped" in last
    assert storage.list_files(temp_folder(f"{cloud}/out")) == {}
    assert main(arguments) == 0


def _wait_for(condition: Callable[[], bool], *, seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def _processes_of_session(session: int) -> list[int]:
    found = []
    for each in psutil.process_iter():
        try:
            if os.getsid(each.pid) == session and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each.pid)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found
