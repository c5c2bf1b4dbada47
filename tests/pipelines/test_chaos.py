"""Whatever ends a run, and wherever: the same command goes on to the same bytes."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from errno import EDQUOT, EIO, ENOSPC, EROFS
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines import build_shard, storage
from pipelines.build_shard import ShardBuilder, ShardResult, temp_folder
from pipelines.cli import main
from pipelines.plan import ShardSpec
from pipelines.process_clip import ClipProcessor

pytestmark = pytest.mark.slow

Arguments = Callable[..., list[str]]
Snapshot = Callable[[Path], dict[str, Any]]


class InThisProcess(ClipProcessor):
    """Stands for the child process where it is not the point."""

    def close(self) -> None:
        """Nothing to end."""


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_shard, "IsolatedProcessor", InThisProcess)


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_and_damaged_at_random_it_ends_with_the_bytes_of_an_undisturbed_run(
    seed: int, built: Path, tmp_path: Path, build_arguments: Arguments, snapshot: Snapshot
) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    output = tmp_path / "out"
    for _ in range(3):
        process = _start(build_arguments(output, "--workers", "2"))
        _wait_until_it_works(process, output)
        time.sleep(chance.uniform(0.0, 3.0))
        if chance.random() < 0.5:
            _kill_a_child(process, chance)
            time.sleep(chance.uniform(0.0, 1.0))
        process.kill()
        process.wait()
        _wait_for_end_of_session(process.pid)
        _corrupt_a_shard(output, chance)
    # A clip whose process was killed twice is `crashed`, which is final unless asked for.
    assert main(build_arguments(output, "--retry-failed")) == 0
    assert main(["verify", str(output)]) == 0
    assert snapshot(output) == snapshot(built)


def _kill_a_child(process: subprocess.Popen[str], chance: random.Random) -> None:
    others = [pid for pid in _processes_of_session(process.pid) if pid != process.pid]
    if others:
        os.kill(chance.choice(others), signal.SIGKILL)


def _corrupt_a_shard(output: Path, chance: random.Random) -> None:
    shards = [path for path in sorted(output.glob("*/*-of-00003*")) if path.stat().st_size]
    shards = [path for path in shards if path.parent.name in ("tfrecord", "parquet")]
    if not shards:
        return
    path = chance.choice(shards)
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


STARTS = ["new", "damaged", "other rows"]


@pytest.mark.parametrize("start", STARTS)
def test_killed_at_any_step_of_writing_it_goes_on_to_the_same_bytes(
    start: str, video_set: Path, tmp_path: Path, snapshot: Snapshot
) -> None:
    arguments = [
        *("--dataset", "csv", "--split", "all", "--annotations", str(video_set / "rows.csv")),
        *("--videos", str(video_set / "videos"), "--modalities", "rgb", "--limit", "3"),
        *("--num-shards", "2", "--decode.short-side", "48", "--max-failed-fraction", "1"),
    ]
    begin = tmp_path / "begin"
    begin.mkdir()
    if start != "new":
        limit = ["--limit", "2"] if start == "other rows" else []
        assert main(["build", *arguments, *limit, "--output", str(begin)]) == 0
    if start == "damaged":
        path = max(begin.glob("parquet/*"), key=lambda path: path.stat().st_size)
        path.write_bytes(path.read_bytes()[:-100])
        assert main(["verify", str(begin)]) == 1
    runs = tmp_path / "runs"
    runs.mkdir()
    stride = "1" if start == "new" else "3"
    script = Path(__file__).with_name("commit_steps.py")
    command = [sys.executable, str(script), str(runs), str(begin), stride, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path.cwd(), check=False)
    assert done.returncode == 0, done.stderr
    num_steps = int(done.stdout)
    assert num_steps >= 20, "two shards in two formats, and what goes with them"
    whole = snapshot(runs / "whole")
    killed = [path for path in runs.iterdir() if path.name != "whole"]
    assert len(killed) == len(range(1, num_steps + 1, int(stride)))
    for output in killed:
        assert snapshot(output) == whole, f"killed before step {output.name}"


def test_name_never_survives_a_power_cut_without_its_content(
    tmp_path: Path, build_arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file is synced, named, and its folder synced before the next name is given."""
    events: list[tuple[str, str]] = []
    sync, replace = os.fsync, Path.replace

    def spy_sync(handle: int) -> None:
        sync(handle)
        events.append(("sync", str(Path(f"/proc/self/fd/{handle}").readlink())))

    def spy_replace(source: Path, target: Path) -> Path:
        events.append(("name", f"{source} {target}"))
        return replace(source, target)

    monkeypatch.setattr(build_shard, "IsolatedProcessor", InThisProcess)
    monkeypatch.setattr(os, "fsync", spy_sync)
    monkeypatch.setattr(Path, "replace", spy_replace)
    assert main(build_arguments(tmp_path / "out")) == 0
    named = [place for place, (kind, _) in enumerate(events) if kind == "name"]
    assert len(named) == 3 * 3 + 2 + 6
    for place in named:
        source, target = events[place][1].split(" ")
        assert ("sync", source) in events[:place]
        assert events[place + 1] == ("sync", str(Path(target).parent))
    synced = {path for kind, path in events if kind == "sync"}
    assert {str(tmp_path), str(tmp_path / "out")} <= synced, "the names of new folders too"


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("error", "after"), [(ENOSPC, 0), (EROFS, 2), (ENOSPC, 5), (EDQUOT, 9), (EIO, 12), (ENOSPC, 16)]
)
def test_disk_that_takes_no_more_ends_the_run_with_one_line_and_the_next_goes_on(
    built: Path,
    tmp_path: Path,
    build_arguments: Arguments,
    snapshot: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: int,
    after: int,
) -> None:
    output, calls = tmp_path / "out", iter(range(100))
    replace = storage._replace

    def fail(source: str, target: str) -> None:
        if next(calls) >= after:
            raise OSError(error, os.strerror(error))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "_replace", fail)
        assert main(build_arguments(output)) == 1
    _check_one_line(capsys.readouterr().err, os.strerror(error))
    assert not (output / "COMPLETED").exists()
    assert not list(Path(temp_folder(str(output))).glob("*"))
    assert main(build_arguments(output)) == 0
    assert snapshot(output) == snapshot(built)


def _check_one_line(printed: str, reason: str) -> None:
    """The clips' own lines come first; then one line says what ended the run."""
    *others, last = printed.strip().split("\n")
    assert last.startswith("perfnet-prep: ")
    assert reason in last
    assert "once that is mended, the same command goes on where it stopped" in last
    assert not [line for line in others if "Traceback" in line or "Error" in line]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for less than the output."""
    folder = tmp_path / "small"
    folder.mkdir()
    if not _mount(folder, "-t", "tmpfs", "-o", "size=300k", "tmpfs"):
        pytest.skip("mounting a small tmpfs needs the right to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)  # noqa: S607


def _mount(folder: Path, *options: str) -> bool:
    mount = shutil.which("mount")
    if mount is None:
        return False
    command = [mount, *options, str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_full_disk_then_read_only_disk_then_room(
    small_disk: Path, built: Path, build_arguments: Arguments, snapshot: Snapshot
) -> None:
    output = small_disk / "out"
    status, printed = _run(build_arguments(output))
    assert status == 1, printed
    _check_one_line(printed, "No space left on device")
    assert _mount(small_disk, "-o", "remount,ro,size=20m")
    status, printed = _run(build_arguments(output))
    assert status == 2, printed
    assert printed.endswith(
        "must be a folder that can be written, got {}: {}\n".format(output, "Read-only file system")
    )
    assert "Traceback" not in printed
    assert _mount(small_disk, "-o", "remount,rw,size=20m")
    status, printed = _run(build_arguments(output))
    assert status == 0, printed
    assert snapshot(output) == snapshot(built)
    assert _mount(small_disk, "-o", "remount,ro")
    assert _run(["verify", str(output)])[0] == 0, "a finished output may be read-only"


def test_full_folder_for_temporary_files_costs_no_clip(
    small_disk: Path, built: Path, tmp_path: Path, build_arguments: Arguments, snapshot: Snapshot
) -> None:
    room = os.statvfs(small_disk)
    (small_disk / "full").write_bytes(bytes(room.f_bavail * room.f_bsize))
    assert os.statvfs(small_disk).f_bavail == 0
    status, printed = _run(build_arguments(tmp_path / "out"), TMPDIR=str(small_disk))
    assert "Traceback" not in printed
    assert status in (0, 1), printed
    if status == 1:
        assert main(build_arguments(tmp_path / "out")) == 0
    assert snapshot(tmp_path / "out") == snapshot(built)


def test_clip_is_not_blamed_for_a_full_disk(
    built: Path,
    tmp_path: Path,
    build_arguments: Arguments,
    snapshot: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class NoRoom(InThisProcess):
        def _process(self, *_arguments: object) -> Any:
            raise OSError(ENOSPC, os.strerror(ENOSPC))

    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(build_shard, "IsolatedProcessor", NoRoom)
        assert main(build_arguments(output)) == 1
    printed = capsys.readouterr().err
    _check_one_line(printed, "must be worked on with room for temporary files, got: No space left")
    assert not list(output.glob("state/*.done.json"))
    monkeypatch.setattr(build_shard, "IsolatedProcessor", InThisProcess)
    assert main(build_arguments(output)) == 0
    assert snapshot(output) == snapshot(built)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("moment", ["between shards", "within a shard", "at the end"])
def test_output_taken_away_is_noticed_and_never_called_complete(
    built: Path,
    tmp_path: Path,
    build_arguments: Arguments,
    snapshot: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    moment: str,
) -> None:
    output, build, process = tmp_path / "out", ShardBuilder.build, InThisProcess.process

    def build_and_lose(self: ShardBuilder, spec: ShardSpec) -> ShardResult:
        result = build(self, spec)
        if moment == "between shards":
            shutil.rmtree(output)
        elif moment == "at the end" and spec.shard == 2:
            next(output.glob("parquet/*")).unlink()
        return result

    def process_and_lose(self: InThisProcess, *arguments: Any) -> Any:
        result = process(self, *arguments)
        if moment == "within a shard":
            shutil.rmtree(output, ignore_errors=True)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(ShardBuilder, "build", build_and_lose)
        patch.setattr(InThisProcess, "process", process_and_lose)
        assert main(build_arguments(output)) == 1
    printed = capsys.readouterr().err
    assert printed.strip().split("\n")[-1].startswith("perfnet-prep: ")
    assert "Traceback" not in printed
    assert not (output / "COMPLETED").exists()
    assert main(build_arguments(output)) == 0
    assert snapshot(output) == snapshot(built)


def test_killed_run_gives_its_claim_back(tmp_path: Path, build_arguments: Arguments) -> None:
    output = tmp_path / "out"
    process = _start(build_arguments(output))
    _wait_until_it_works(process, output)
    process.send_signal(signal.SIGSTOP)  # or it may end before the second run has begun
    status, printed = _run(build_arguments(output))
    assert (status, process.poll()) == (2, None), printed
    assert "with a run in progress" in printed
    process.kill()
    process.wait()
    assert main(build_arguments(output)) == 0


def _command(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "pipelines", *arguments]


def _start(arguments: list[str]) -> subprocess.Popen[str]:
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(
        _command(arguments), stdout=nowhere, stderr=nowhere, text=True, start_new_session=True
    )


def _run(arguments: list[str], **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        _command(arguments),
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    return done.returncode, done.stderr


def _wait_until_it_works(process: subprocess.Popen[str], output: Path) -> None:
    plan = output / "state" / "plan.jsonl"
    _wait_for(lambda: plan.exists() or process.poll() is not None)


def _wait_for_end_of_session(session: int) -> None:
    _wait_for(lambda: not _processes_of_session(session))


def _processes_of_session(session: int) -> list[int]:
    found = []
    for each in psutil.process_iter():
        try:
            if os.getsid(each.pid) == session and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each.pid)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def _wait_for(condition: Callable[[], bool], *, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)
