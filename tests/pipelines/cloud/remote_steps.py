"""Kill a build before every step that changes its folder of a bucket, run it again.

Run by `test_remote_interruption.py` in an interpreter of its own, with no thread, as every run is
a fork of it: `python remote_steps.py FOLDER STRIDE ARGUMENTS...` prints the number of steps.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from apache_beam.io.gcp.gcsio import BeamBlobWriter, GcsIO

import pipelines.build
import pipelines.prepare
import pipelines.progress
from pipelines import build_shard
from pipelines.cli import main
from pipelines.file_digest import FileDigest, has_digest
from pipelines.finish import find_damaged_results
from pipelines.isolation import ClipProcessor
from pipelines.output_folder import read_markers
from pipelines.process_clip import ProcessedClip
from pipelines.remote_video import local_video
from pipelines.storage import exists


class InThisProcess(ClipProcessor):
    """Stands for the child process, which writes nothing into the output folder."""

    def process(self, task: Any, video: Any, *files: Any) -> ProcessedClip:
        """The same, of a remote video."""
        with local_video(video) as path:
            return super().process(task, path, *files)

    def close(self) -> None:
        """Nothing to end."""


build_shard.IsolatedProcessor = InThisProcess  # type: ignore[assignment,misc]
LOADED = (pipelines.build, pipelines.prepare, pipelines.progress)  # before any fork: not per run


class Steps:
    """Counts the steps of this process, and kills it before one of them.

    A step ends an upload, copies an object or deletes some.

    Args:
        stop_at: Number of the step that is not made; 0 = none.
    """

    def __init__(self, stop_at: int) -> None:
        self.count = 0
        self._stop_at = stop_at

    def watch(self) -> None:
        """Begin; there is no way to end."""
        for owner, name in (
            (BeamBlobWriter, "close"),
            (GcsIO, "copy_batch"),
            (GcsIO, "delete_batch"),
        ):
            setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any) -> Any:
            self.count += 1
            if self.count == self._stop_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return method(*arguments)

        return step


def run(output: str, arguments: list[str], *, stop_at: int) -> tuple[int, int]:
    """Run a build in a fork; returns its status (-9 if it was killed) and the number of steps."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        steps = Steps(stop_at)
        steps.watch()
        status = main(["build", *arguments, "--output", output])
        os.write(writer, str(steps.count).encode())
        os._exit(status)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    count = os.read(reader, 20)
    os.close(reader)
    return os.waitstatus_to_exitcode(status), int(count or 0)


def check_promises(output: str) -> None:
    """What must hold at any moment: a marker never vouches for what is not there."""
    for name, marker in read_markers(output).items():
        if marker is None:
            raise AssertionError(f"{name} is damaged")
        for file, digest in marker["files"].items():
            if not has_digest(f"{output}/{file}", FileDigest(**digest)):
                raise AssertionError(f"{name} vouches for {file}")
    if exists(f"{output}/COMPLETED") and find_damaged_results(output):
        raise AssertionError("COMPLETED vouches for damaged files")


def check_in_fork(output: str) -> None:
    """The same, in a fork: a client of the storage that is made here would be shared by forks."""
    child = os.fork()
    if child == 0:
        check_promises(output)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        raise AssertionError(f"{output}: a promise is broken")


def kill_at_every_step(folder: str, stride: int, arguments: list[str]) -> None:
    """Leave `folder/N`, the output of a run killed at step N and started again, for some N."""
    status, num_steps = run(f"{folder}/whole", arguments, stop_at=0)
    if status != 0:
        raise AssertionError(f"undisturbed run ended with {status}")
    for stop_at in range(1, num_steps + 1, stride):
        output = f"{folder}/{stop_at}"
        status, _ = run(output, arguments, stop_at=stop_at)
        if status != -signal.SIGKILL:
            raise AssertionError(f"step {stop_at}: the run must be killed, got {status}")
        check_in_fork(output)
        status, _ = run(output, arguments, stop_at=0)
        if status != 0:
            raise AssertionError(f"step {stop_at}: the second run ended with {status}")
    sys.stdout.write(f"{num_steps}\n")


if __name__ == "__main__":
    kill_at_every_step(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
