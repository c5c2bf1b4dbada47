"""A clip that crashes, hangs or is damaged costs one outcome; the next clip is untouched."""

import importlib
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from pipelines import isolation
from pipelines.config import BuildConfig
from pipelines.isolation import IsolatedProcessor
from pipelines.plan import ClipTask
from schemas.clip_record import Provenance
from schemas.errors import RecordError
from schemas.outcome import Outcome

pytestmark = pytest.mark.slow

PLANTED = """
    import os, signal, time
    from pipelines.isolation import _process_in_child

    def process(task, video_path, *files):
        if task.clip.clip_id == "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        if task.clip.clip_id == "exits":
            os._exit(7)
        if task.clip.clip_id == "hangs":
            time.sleep(3600)
        if task.clip.clip_id == "bug":
            raise TypeError("planted bug")
        return _process_in_child(task, video_path, *files)
"""


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that the child can import, with faults by clip id."""
    (tmp_path / "planted_faults.py").write_text(textwrap.dedent(PLANTED))
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("planted_faults")
    monkeypatch.setattr(isolation, "_process_in_child", module.process)
    return module


def _config(timeout_seconds: float = 60.0) -> BuildConfig:
    return BuildConfig(
        dataset="csv",
        annotations="rows.csv",
        videos="videos",
        split="all",
        output="out",
        modalities=("rgb",),
        clip_timeout_seconds=timeout_seconds,
    )


@pytest.fixture
def processor(planted: ModuleType) -> Iterator[IsolatedProcessor]:  # noqa: ARG001
    made = IsolatedProcessor(_config(3.0), PROVENANCE)
    yield made
    made.close()


PROVENANCE = Provenance(config_hash="c", software="s", pose_model="")


@pytest.mark.parametrize(
    ("clip_id", "outcome", "detail"),
    [
        ("crashes", Outcome.CRASHED, r"the process working on it died twice \(SIGSEGV\)"),
        ("exits", Outcome.CRASHED, r"the process working on it died twice \(exit code 7\)"),
        ("hangs", Outcome.TIMEOUT, r"took longer than 3 s \(clip_timeout_seconds\)"),
    ],
)
def test_fault_costs_one_clip_and_the_next_is_unchanged(
    processor: IsolatedProcessor,
    video_set: Path,
    clip_task: Callable[[str], ClipTask],
    clip_id: str,
    outcome: Outcome,
    detail: str,
) -> None:
    video = video_set / "videos" / "a.mp4"
    before = processor.process(clip_task("good"), video).record
    with pytest.raises(RecordError, match=detail) as caught:
        processor.process(clip_task(clip_id), video)
    assert caught.value.outcome is outcome
    assert caught.value.clip_id == clip_id
    after = processor.process(clip_task("good"), video).record
    assert after.rgb == before.rgb


def test_bug_is_not_swallowed(
    processor: IsolatedProcessor, video_set: Path, clip_task: Callable[[str], ClipTask]
) -> None:
    with pytest.raises(TypeError, match="planted bug"):
        processor.process(clip_task("bug"), video_set / "videos" / "a.mp4")


def test_damaged_file_names_the_clip(
    processor: IsolatedProcessor, video_set: Path, clip_task: Callable[[str], ClipTask]
) -> None:
    with pytest.raises(RecordError, match="FFmpeg cannot open the file") as caught:
        processor.process(clip_task("page"), video_set / "videos" / "broken.mp4")
    assert (caught.value.clip_id, caught.value.outcome) == ("page", Outcome.UNREADABLE)


def test_vanished_file_fails_the_clip_only(
    processor: IsolatedProcessor, tmp_path: Path, clip_task: Callable[[str], ClipTask]
) -> None:
    with pytest.raises(RecordError, match="the file is gone") as caught:
        processor.process(clip_task("lost"), tmp_path / "lost.mp4")
    assert caught.value.outcome is Outcome.FAILED


def test_child_imports_neither_beam_nor_tensorflow(
    processor: IsolatedProcessor, video_set: Path, clip_task: Callable[[str], ClipTask]
) -> None:
    processor.process(clip_task("good"), video_set / "videos" / "a.mp4")
    children = psutil.Process().children(recursive=True)
    maps = {entry.path for child in children for entry in child.memory_maps()}
    assert maps, "the child must be alive"
    assert not [path for path in maps if "apache_beam" in path or "tensorflow" in path]


def _workers() -> set[int]:
    """Process ids of the children of our fork server; it and its tracker live as long as we do."""
    children = psutil.Process().children(recursive=True)
    return {child.pid for child in children if child.ppid() != os.getpid()}


@pytest.mark.usefixtures("planted")
def test_close_leaves_no_child(video_set: Path, clip_task: Callable[[str], ClipTask]) -> None:
    before = _workers()
    processor = IsolatedProcessor(_config(), PROVENANCE)
    processor.process(clip_task("good"), video_set / "videos" / "a.mp4")
    assert len(_workers() - before) == 1
    processor.close()
    assert _workers() <= before


def test_child_dies_with_its_parent(tmp_path: Path, video_set: Path) -> None:
    video = str(video_set / "videos" / "a.mp4")
    command = [sys.executable, "-c", _PARENT, video, str(tmp_path / "pid")]
    parent = subprocess.Popen(command)
    pid_file = tmp_path / "pid"
    try:
        _wait_for(pid_file.exists)
    finally:
        parent.kill()
        parent.wait()
    child = int(pid_file.read_text())
    _wait_for(lambda: not psutil.pid_exists(child))
    assert not psutil.pid_exists(child)


_PARENT = """
import pathlib, psutil, sys, time
from pipelines.config import BuildConfig
from pipelines.isolation import IsolatedProcessor
from pipelines.plan import ClipTask
from schemas.clip import Clip
from schemas.clip_record import Provenance
if __name__ == "__main__":
    config = BuildConfig(dataset="csv", annotations="x", videos="v", split="s", output="o",
                         modalities=("rgb",))
    clip = Clip(clip_id="a", dataset="csv", split="s", label_text=None, media_id="a",
                relative_path="a.mp4", start_seconds=None, end_seconds=None, source="x:2")
    processor = IsolatedProcessor(config, Provenance(config_hash="", software="", pose_model=""))
    task = ClipTask(clip=clip, label_index=-1, path="a.mp4", size_bytes=1, is_trimmed=True)
    processor.process(task, pathlib.Path(sys.argv[1]))
    [worker] = [child for child in psutil.Process().children(recursive=True)
                if child.ppid() != psutil.Process().pid]
    target = pathlib.Path(sys.argv[2])
    target.with_suffix(".tmp").write_text(str(worker.pid))
    target.with_suffix(".tmp").rename(target)
    time.sleep(3600)
"""


def _wait_for(condition: Callable[[], bool], *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)
