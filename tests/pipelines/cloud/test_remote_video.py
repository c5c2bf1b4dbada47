"""The copy of a remote video: bounded, and gone with the process that made it."""

import importlib
import os
import textwrap
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from errno import ENOSPC
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from types import ModuleType

import pytest
from apache_beam.io.filesystems import FileSystems

from pipelines import remote_video, storage
from pipelines.child_process import ChildLimits, ChildProcess, ChildStopped
from pipelines.remote_video import RemoteVideo, local_video
from pipelines.system_errors import is_out_of_room
from schemas.errors import ShardError

pytestmark = pytest.mark.slow

NUM_MIB = 96

PLANTED = """
    import os, resource, signal, time
    from hashlib import blake2b
    from pipelines import storage
    from pipelines.remote_video import local_video

    def peak_mib():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    def start():
        pass

    def measure(video):
        storage.exists(video.path)  # its client is loaded
        before = peak_mib()
        with local_video(video) as path:
            grown = peak_mib() - before
            target = os.readlink(path)
            copies = [path.read_bytes() for _ in range(2)]
        return grown, target, len(set(copies)) == 1 and blake2b(copies[0]).hexdigest()

    def hold(video, how):
        with local_video(video):
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "raise":
                raise RuntimeError("planted")
            time.sleep(3600)
"""


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "planted_copies.py").write_text(textwrap.dedent(PLANTED))
    monkeypatch.syspath_prepend(str(tmp_path))
    return importlib.import_module("planted_copies")


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of temporary files, of children too."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def video(cloud: str) -> RemoteVideo:
    with FileSystems.create(f"{cloud}/v.mp4", compression_type="uncompressed") as file:
        for number in range(NUM_MIB):
            file.write(bytes([number]) * 2**20)
    found = storage.video_source(f"{cloud}/v.mp4", num_bytes=NUM_MIB << 20, max_mib=NUM_MIB)
    assert isinstance(found, RemoteVideo)
    return found


@pytest.fixture
def child(planted: ModuleType, cloud: str, scratch: Path) -> Iterator[ChildProcess]:  # noqa: ARG001
    limits = ChildLimits(wall_seconds=120, cpu_seconds=120, memory_mib=2048)
    made = ChildProcess(planted.start, (), limits)
    yield made
    made.close()


def test_copy_is_whole_is_read_twice_and_takes_little_memory(
    planted: ModuleType, video: RemoteVideo, child: ChildProcess, scratch: Path
) -> None:
    grown_mib, target, digest = child.call(planted.measure, video)
    parts = (bytes([number]) * 2**20 for number in range(NUM_MIB))
    assert digest == blake2b(b"".join(parts)).hexdigest()
    assert target.startswith(f"{scratch}/")
    assert target.endswith(" (deleted)")
    assert grown_mib < 64, "the client reads 16 MiB at a time, and holds that three times"
    assert list(scratch.rglob("*.mp4")) == []


@pytest.mark.parametrize("how", ["kill", "raise", "hang"])
def test_copy_is_gone_whatever_ends_the_work(
    planted: ModuleType, video: RemoteVideo, child: ChildProcess, scratch: Path, how: str
) -> None:
    child._limits = replace(child._limits, wall_seconds=12 if how == "hang" else 120)
    with pytest.raises((ChildStopped, RuntimeError)) as stop:
        child.call(planted.hold, video, how)
    expected = {"kill": "SIGKILL", "raise": "planted", "hang": "wall"}
    assert expected[how] in str(stop.value.args)
    assert _regular_files(scratch) == []
    if how == "raise":
        open_files = Path(f"/proc/{child.pid}/fd").iterdir()
        assert not [each for each in open_files if str(scratch) in str(each.readlink())]


def _regular_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_storage_that_cannot_be_reached_is_no_clips_fault(
    video: RemoteVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_named: object) -> None:
        from google.api_core.exceptions import Forbidden

        raise Forbidden("not for you")  # type: ignore[no-untyped-call]

    monkeypatch.setattr("apache_beam.io.gcp.gcsio.GcsIO.open", refuse)
    rule = r"v.mp4 must be read from remote storage, got: .*not for you; once that is mended"
    with pytest.raises(ShardError, match=rule), local_video(video):
        pass


def test_full_disk_is_no_clips_fault(video: RemoteVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(BytesIO):
        def write(self, _data: object) -> int:
            raise OSError(ENOSPC, os.strerror(ENOSPC))

    monkeypatch.setattr(
        remote_video, "nameless_file", lambda _folder: nullcontext((Full(), Path("x")))
    )
    with pytest.raises(OSError, match="No space left") as error, local_video(video):
        pass
    assert is_out_of_room(error.value)
