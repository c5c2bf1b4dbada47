"""Native code that crashes, spins, leaks or talks costs one outcome; nothing outlives it."""

import importlib
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from pipelines import isolation
from pipelines.config import BuildConfig
from pipelines.isolation import IsolatedProcessor
from pipelines.plan import ClipTask
from pipelines.process_clip import ClipProcessor, ProcessedClip
from schemas.clip_record import Provenance
from schemas.errors import RecordError
from schemas.outcome import Outcome

pytestmark = pytest.mark.slow

PLANTED = """
    import ctypes, os, re, signal, subprocess, sys, time
    from pathlib import Path
    from pipelines.isolation import _process_in_child

    MIB = 1 << 20
    kept = []

    def spin_with_gil():
        re.match(r"(a+)+$", "a" * 64 + "b")

    def leak(mib):
        kept.append(b"x" * (mib * MIB))

    def process(task, video_path, *files):
        name = task.clip.clip_id
        with video_path.with_name("attempts").open("a") as file:
            file.write(name + "\\n")
        if name == "spins":
            spin_with_gil()
        if name == "ignores signals":
            for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
                try:
                    signal.signal(number, signal.SIG_IGN)
                except OSError:
                    pass
            spin_with_gil()
        if name == "leaks":
            while True:
                leak(64)
        if name == "asks too much of Python":
            kept.append(bytearray(8192 * MIB))
        if name == "asks too much of numpy":
            import numpy
            kept.append(numpy.ones(8192 * MIB, numpy.uint8))
        if name == "asks too much of OpenCV":
            import cv2, numpy
            from pipelines import clip_run
            image = numpy.zeros((8, 8), numpy.float64)
            clip_run.encode_jpeg = lambda *_, **__: cv2.resize(image, (30000, 30000))
        if name == "asks too much of C++":
            operator_new = ctypes.CDLL("libstdc++.so.6")._Znwm
            operator_new.argtypes = [ctypes.c_size_t]
            operator_new(8192 * MIB)
        if name.startswith("leaks a little"):
            leak(100)
        if name == "exits":
            sys.exit()
        if name == "aborts":
            os.abort()
        if name == "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        if name == "poisons":
            kept.append("poison")
        if name == "victim" and "poison" in kept:
            os.kill(os.getpid(), signal.SIGSEGV)
        if name == "talks":
            for number in (1, 2):
                for _ in range(200):
                    try:
                        os.write(number, b"garbage " * 1000)
                    except BlockingIOError:
                        pass
            print("garbage")
            print("garbage", file=sys.stderr)
        if name.startswith("has children"):
            sleeper = subprocess.Popen(["sleep", "1000"])
            clone = os.fork()  # holds every descriptor of its parent
            if clone == 0:
                time.sleep(1000)
            video_path.with_name("pids").write_text(f"{sleeper.pid} {clone}")
            if name.endswith("and crashes"):
                os.kill(os.getpid(), signal.SIGSEGV)
            spin_with_gil()
        return _process_in_child(task, video_path, *files)
"""

PROVENANCE = Provenance(config_hash="c", software="s", pose_model="")
CONFIG = BuildConfig(
    dataset="csv",
    annotations="rows.csv",
    videos="videos",
    split="all",
    output="out",
    modalities=("rgb",),
    clip_timeout_seconds=60.0,
    clip_cpu_seconds=60.0,
    clip_memory_mib=512,
)


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that the child can import, with faults by clip id."""
    (tmp_path / "planted_hostility.py").write_text(textwrap.dedent(PLANTED))
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("planted_hostility")
    monkeypatch.setattr(isolation, "_process_in_child", module.process)
    return module


Processing = Callable[..., ProcessedClip]


@pytest.fixture
def process(
    planted: ModuleType,  # noqa: ARG001
    video_set: Path,
    tmp_path: Path,
    clip_task: Callable[[str], ClipTask],
) -> Iterator[Processing]:
    """Processes a clip by its id; one child for all calls with the same limits."""
    made: dict[str, IsolatedProcessor] = {}
    video = tmp_path / "a.mp4"
    video.write_bytes((video_set / "videos" / "a.mp4").read_bytes())

    def run(clip_id: str, **limits: float) -> ProcessedClip:
        if "all" not in made:
            made["all"] = IsolatedProcessor(replace(CONFIG, **limits), PROVENANCE)
        return made["all"].process(clip_task(clip_id), video)

    yield run
    for processor in made.values():
        processor.close()


@pytest.fixture
def alone(video_set: Path, clip_task: Callable[[str], ClipTask]) -> tuple[bytes, ...]:
    """The frames of the good clip, processed without neighbours in this process."""
    processor = ClipProcessor(CONFIG, PROVENANCE)
    return processor.process(clip_task("good"), video_set / "videos" / "a.mp4").record.rgb


MEMORY = r"needed more than 512 MiB of memory \(clip_memory_mib\)$"


@pytest.mark.parametrize(
    ("clip_id", "limits", "outcome", "detail"),
    [
        ("spins", {"clip_timeout_seconds": 3}, Outcome.TIMEOUT, "took longer than 3 s"),
        ("ignores signals", {"clip_timeout_seconds": 3}, Outcome.TIMEOUT, "took longer than 3 s"),
        (
            *("spins", {"clip_cpu_seconds": 1}, Outcome.TIMEOUT),
            r"used more than 1 s of CPU time \(clip_cpu_seconds\)$",
        ),
        ("leaks", {}, Outcome.CRASHED, MEMORY),
        ("asks too much of Python", {}, Outcome.CRASHED, MEMORY),
        ("asks too much of numpy", {}, Outcome.CRASHED, MEMORY),
        ("asks too much of OpenCV", {}, Outcome.CRASHED, MEMORY),
        ("asks too much of C++", {}, Outcome.CRASHED, MEMORY),
        ("exits", {}, Outcome.CRASHED, r"died twice \(exit code 0\)$"),
        ("aborts", {}, Outcome.CRASHED, r"died twice \(SIGABRT\)$"),
        ("crashes", {}, Outcome.CRASHED, r"died twice \(SIGSEGV\)$"),
    ],
)
def test_hostile_clip_costs_one_outcome_and_its_neighbours_are_unchanged(
    process: Processing,
    alone: tuple[bytes, ...],
    clip_id: str,
    limits: dict[str, float],
    outcome: Outcome,
    detail: str,
) -> None:
    assert process("good", **limits).record.rgb == alone
    with pytest.raises(RecordError, match=detail) as caught:
        process(clip_id)
    assert (caught.value.clip_id, caught.value.outcome) == (clip_id, outcome)
    assert process("good").record.rgb == alone


def test_clip_whose_process_an_earlier_clip_has_spoilt_is_not_lost(
    process: Processing, alone: tuple[bytes, ...]
) -> None:
    process("poisons")
    assert process("victim").record.rgb == alone


def test_small_leaks_do_not_add_up_to_the_limit(
    process: Processing, alone: tuple[bytes, ...], tmp_path: Path
) -> None:
    for index in range(6):
        assert process(f"leaks a little {index}").record.rgb == alone
    assert len((tmp_path / "attempts").read_text().splitlines()) == 6


def test_memory_error_counts_only_in_a_process_without_a_past(
    process: Processing,
    alone: tuple[bytes, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(isolation, "_MOST_KEPT_MEMORY", 2.0)  # never replaced after a clip
    for index in range(6):
        assert process(f"leaks a little {index}").record.rgb == alone
    assert len((tmp_path / "attempts").read_text().splitlines()) > 6


def test_garbage_on_the_output_streams_reaches_nobody(
    process: Processing, alone: tuple[bytes, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert process("talks").record.rgb == alone
    assert process("good").record.rgb == alone
    assert "garbage" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("clip_id", "detail"),
    [
        ("has children and crashes", r"died twice \(SIGSEGV\)"),
        ("has children and spins", "took longer than 3 s"),
    ],
)
def test_what_a_child_has_started_ends_with_it(
    process: Processing, tmp_path: Path, clip_id: str, detail: str
) -> None:
    with pytest.raises(RecordError, match=detail):
        process(clip_id, clip_timeout_seconds=3)
    _wait_for_end(*map(int, (tmp_path / "pids").read_text().split()))


def test_spinning_child_and_what_it_started_end_with_a_killed_coordinator(
    planted: ModuleType, tmp_path: Path
) -> None:
    assert planted.__file__ is not None
    command = [sys.executable, "-c", COORDINATOR, str(tmp_path), str(tmp_path / "a.mp4")]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}
    coordinator = subprocess.Popen(command, env=environment)
    try:
        _wait_for((tmp_path / "pids").exists)
        time.sleep(0.2)
        children = psutil.Process(coordinator.pid).children(recursive=True)
    finally:
        coordinator.kill()
        coordinator.wait()
    assert len(children) >= 4, "tracker, fork server, child and its two children"
    _wait_for_end(*(child.pid for child in children))


COORDINATOR = """
import sys
from pathlib import Path
import planted_hostility
from pipelines import isolation
from pipelines.config import BuildConfig
from pipelines.plan import ClipTask
from schemas.clip import Clip
from schemas.clip_record import Provenance
if __name__ == "__main__":
    isolation._process_in_child = planted_hostility.process
    config = BuildConfig(dataset="csv", annotations="x", videos="v", split="s", output="o",
                         modalities=("rgb",))
    clip = Clip(clip_id="has children and spins", dataset="csv", split="s", label_text=None,
                media_id="a", relative_path="a.mp4", start_seconds=None, end_seconds=None,
                source="x:2")
    task = ClipTask(clip=clip, label_index=-1, path="a.mp4", size_bytes=1, is_trimmed=True)
    processor = isolation.IsolatedProcessor(
        config, Provenance(config_hash="", software="", pose_model=""))
    processor.process(task, Path(sys.argv[2]))
"""


def test_fork_server_has_one_thread_when_it_forks(process: Processing) -> None:
    process("good")
    children = psutil.Process().children()
    servers = [child for child in children if "forkserver" in " ".join(child.cmdline())]
    assert [server.num_threads() for server in servers] == [1]


def _wait_for_end(*pids: int) -> None:
    """Wait until no process runs; one that nobody has waited for is dead all the same."""

    def is_running(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    _wait_for(lambda: not any(map(is_running, pids)))


def _wait_for(condition: Callable[[], bool], *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)
