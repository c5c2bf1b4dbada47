"""Kill a build at every step that changes its output folder, run it again, compare.

Run by `test_chaos.py` in an interpreter of its own, with no thread, as every run is a fork of it:
`python commit_steps.py FOLDER START_FOLDER STRIDE ARGUMENTS...` prints the number of steps.
"""

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pipelines.build
import pipelines.prepare
import pipelines.progress
from pipelines import build_shard
from pipelines.cli import main
from pipelines.file_digest import FileDigest, HashedFile, has_digest
from pipelines.finish import find_damaged_results
from pipelines.isolation import ClipProcessor
from pipelines.output_folder import read_markers


class InThisProcess(ClipProcessor):
    """Stands for the child process, which writes nothing into the output folder."""

    def close(self) -> None:
        """Nothing to end."""


build_shard.IsolatedProcessor = InThisProcess  # type: ignore[assignment,misc]
LOADED = (pipelines.build, pipelines.prepare, pipelines.progress)  # before any fork: not per run


class Steps:
    """Counts the steps of this process, and kills it before one of them.

    A step gives or takes a name, or comes after the first byte of a shard file.

    Args:
        stop_at: Number of the step that is not made; 0 = none.
    """

    def __init__(self, stop_at: int) -> None:
        self.count = 0
        self._stop_at = stop_at

    def watch(self) -> None:
        """Begin; there is no way to end."""
        write = HashedFile.write

        def write_in_two(file: HashedFile, data: Any) -> int:
            if file.tell():
                return write(file, data)
            write(file, data[:1])
            file._file.flush()
            self._step()
            return write(file, data[1:]) + 1

        HashedFile.write = write_in_two  # type: ignore[method-assign]
        sys.addaudithook(self._see)

    def _see(self, event: str, _arguments: tuple[Any, ...]) -> None:
        if event in ("os.rename", "os.remove", "os.rmdir", "os.utime", "shutil.rmtree"):
            self._step()

    def _step(self) -> None:
        self.count += 1
        if self.count == self._stop_at:
            os.kill(os.getpid(), signal.SIGKILL)


def run(output: Path, arguments: list[str], *, stop_at: int) -> tuple[int, int]:
    """Run a build in a fork; returns its status (-9 if it was killed) and the number of steps."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        steps = Steps(stop_at)
        steps.watch()
        status = main(["build", *arguments, "--output", str(output)])
        os.write(writer, str(steps.count).encode())
        os._exit(status)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    count = os.read(reader, 20)
    os.close(reader)
    return os.waitstatus_to_exitcode(status), int(count or 0)


def check_promises(output: Path) -> None:
    """What must hold at any moment: a marker never vouches for what is not there."""
    for name, marker in read_markers(str(output)).items():
        if marker is None:
            raise AssertionError(f"{name} is damaged")
        for file, digest in marker["files"].items():
            if not has_digest(str(output / file), FileDigest(**digest)):
                raise AssertionError(f"{name} vouches for {file}")
    if (output / "COMPLETED").exists() and find_damaged_results(str(output)):
        raise AssertionError("COMPLETED vouches for damaged files")


def kill_at_every_step(folder: Path, start: Path, stride: int, arguments: list[str]) -> None:
    """Leave `folder/N`, the output of a run killed at step N and started again, for every N."""
    shutil.copytree(start, folder / "whole", dirs_exist_ok=True)
    status, num_steps = run(folder / "whole", arguments, stop_at=0)
    if status != 0:
        raise AssertionError(f"undisturbed run ended with {status}")
    for stop_at in range(1, num_steps + 1, stride):
        output = folder / str(stop_at)
        shutil.copytree(start, output, dirs_exist_ok=True)
        status, _ = run(output, arguments, stop_at=stop_at)
        if status != -signal.SIGKILL:
            raise AssertionError(f"step {stop_at}: the run must be killed, got {status}")
        check_promises(output)
        status, _ = run(output, arguments, stop_at=0)
        if status != 0:
            raise AssertionError(f"step {stop_at}: the second run ended with {status}")
    sys.stdout.write(f"{num_steps}\n")


if __name__ == "__main__":
    kill_at_every_step(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
