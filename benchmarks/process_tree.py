"""CPU time of a program and of all that it starts, until the last process has ended (Linux)."""

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one run took."""

    coordinator: float
    """CPU seconds of the process that was started."""
    workers: float
    """CPU seconds of all other processes."""
    wall: float = 0.0
    """Seconds until the process that was started had ended."""

    @property
    def total(self) -> float:
        """CPU seconds of all processes."""
        return self.coordinator + self.workers


def adopt_left_processes() -> None:
    """Make this process the parent of what its children leave behind, to count it too.

    Raises:
        OSError: If the system refuses.
    """
    if ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError("prctl must be able to adopt the processes that a run leaves behind")


def run_to_the_end(module: Sequence[str]) -> tuple[Cost, str]:
    """Run a module and everything it starts to the end; return its cost and its output.

    Args:
        module: Name of the module and its arguments, as after `python -m`.

    Raises:
        RuntimeError: If it does not exit with status 0.
    """
    command = [sys.executable, "-m", *module]
    start = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        text = "" if process.stdout is None else process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - start
    if process.returncode != 0:
        raise RuntimeError(f"{module[0]} must exit with status 0, got {process.returncode}")
    coordinator = usage.ru_utime + usage.ru_stime
    workers = 0.0
    while True:
        try:
            _, _, usage = os.wait4(-1, 0)  # what it left behind is ours now
        except ChildProcessError:
            return Cost(coordinator=coordinator, workers=workers, wall=wall), text
        workers += usage.ru_utime + usage.ru_stime
