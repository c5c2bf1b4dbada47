"""A process that works for this one under limits that nothing in it can lift.

Memory, CPU time and wall time of a call are watched from outside, and SIGKILL is the only signal
used: native code that spins with the GIL, ignores signals or corrupts its own memory is stopped
all the same. A child leads a process group of its own, so that what it starts dies with it.
"""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import connection
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from typing import Any, Literal

from pipelines.child_main import NO_MEMORY, RAISED, run_child

_POLL_SECONDS = 0.05
_START_SECONDS = 300.0
_MIB = 1 << 20

LimitName = Literal["wall", "cpu", "memory"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildLimits:
    """What one call may use; the memory is that of the whole process."""

    wall_seconds: float
    cpu_seconds: float
    memory_mib: int
    """Resident memory. The kernel refuses more than twice this as private memory, used or not."""


class ChildStopped(Exception):  # noqa: N818 - a state that the caller expects
    """The call did not come to an end.

    Args:
        limit: The limit that was passed; None if the process died by itself.
        exit_text: How the process died, for a person; "" at a limit.
    """

    def __init__(self, limit: LimitName | None, exit_text: str = "") -> None:
        super().__init__(limit, exit_text)
        self.limit = limit
        self.exit_text = exit_text


class ChildProcess:
    """One child; `call` works until it raises ChildStopped, then the child is gone.

    On Linux children come from a fork server that holds the slow imports and no thread
    (`pipelines.preload`); elsewhere they are spawned, and only wall time is limited.

    Args:
        initializer: Called in the child first; importable by name, like its arguments.
        initargs: Arguments for it.
        limits: What each call may use.
    """

    def __init__(
        self, initializer: Callable[..., None], initargs: tuple[Any, ...], limits: ChildLimits
    ) -> None:
        self._limits = limits
        context = _context()
        self._connection, theirs = context.Pipe()
        self._messages, their_messages = context.Pipe(duplex=False)
        os.set_blocking(self._messages.fileno(), False)
        data_bytes = 2 * limits.memory_mib * _MIB
        self._process = context.Process(
            target=run_child,
            args=(theirs, their_messages, data_bytes, initializer, initargs),
            name="clip-worker",
            daemon=True,
        )
        self._process.start()
        theirs.close()
        their_messages.close()
        self.num_calls = 0
        """Calls so far, the running one included."""
        self._kill = weakref.finalize(self, _kill_group, self.pid)

    @property
    def pid(self) -> int:
        """Process id, and id of the process group."""
        if self._process.pid is None:
            raise RuntimeError("a child that was started must have a process id")
        return self._process.pid

    @property
    def resident_mib(self) -> float:
        """Resident memory now; 0 where the system does not tell."""
        usage = _read_usage(self.pid)
        return usage.resident_bytes / _MIB if usage else 0.0

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return what a function returns in the child, or raise what it raises.

        Args:
            function: Importable by name.
            *args: Picklable.

        Raises:
            ChildStopped: If the child died or passed a limit, or a call for memory failed in it.
        """
        if self.num_calls == 0:  # getting ready is not the first call's time
            self._receive(replace(self._limits, wall_seconds=_START_SECONDS))
        self.num_calls += 1
        self._read_messages()
        kind, value = self._receive(self._limits, (function, args))
        if kind == NO_MEMORY:
            self.close()
            raise ChildStopped("memory")
        if kind == RAISED:
            raise value
        return value

    def close(self) -> None:
        """End the child and all that it started."""
        self._kill()
        self._process.join()
        self._connection.close()
        self._messages.close()

    def _receive(self, limits: ChildLimits, request: object = None) -> Any:
        """The child's next answer, to a request if there is one."""
        answer = None
        expected = suppress(EOFError, OSError, pickle.UnpicklingError)
        with _Watch(self.pid, self._process.sentinel, limits) as watch, expected:
            if request is not None:
                self._connection.send(request)
            with open(self._connection.fileno(), "rb", closefd=False) as inlet:
                answer = pickle.load(inlet)  # noqa: S301 - our own child
        if answer is None or watch.passed is not None:
            raise self._stopped(watch.passed)
        return answer

    def _stopped(self, limit: LimitName | None) -> ChildStopped:
        messages = self._read_messages()
        self.close()
        if limit is None and b"std::bad_alloc" in messages:
            limit = "memory"
        return ChildStopped(limit, "" if limit else _describe_exit(self._process.exitcode))

    def _read_messages(self) -> bytes:
        """What native code has written to standard error since the last look."""
        with suppress(OSError):
            return os.read(self._messages.fileno(), 1 << 16)
        return b""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Usage:
    cpu_seconds: float
    resident_bytes: int


class _Watch:
    """Kills a child's group when it passes a limit, or when only its leader is dead."""

    def __init__(self, pid: int, sentinel: int, limits: ChildLimits) -> None:
        self._pid = pid
        self._sentinel = sentinel
        self._limits = limits
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.passed: LimitName | None = None

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        deadline = time.monotonic() + self._limits.wall_seconds
        first = _read_usage(self._pid)
        cpu_limit = self._limits.cpu_seconds + (first.cpu_seconds if first else 0.0)
        while not self._is_over.wait(_POLL_SECONDS):
            self.passed = self._find_passed(deadline, cpu_limit)
            if self.passed is not None or connection.wait([self._sentinel], 0):
                _kill_group(self._pid)
                return

    def _find_passed(self, deadline: float, cpu_limit: float) -> LimitName | None:
        usage = _read_usage(self._pid)
        if usage is not None and usage.resident_bytes > self._limits.memory_mib * _MIB:
            return "memory"
        if usage is not None and usage.cpu_seconds > cpu_limit:
            return "cpu"
        return "wall" if time.monotonic() > deadline else None


def _context() -> ForkServerContext | SpawnContext:
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pipelines.preload"])
    return context


def _read_usage(pid: int) -> _Usage | None:
    """What a process uses by /proc/PID/stat (proc(5): fields 14, 15 and 24); None without it."""
    try:
        content = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = content.rpartition(b")")[2].split()  # from field 3 on
    ticks = int(fields[11]) + int(fields[12])
    return _Usage(
        cpu_seconds=ticks / os.sysconf("SC_CLK_TCK"),
        resident_bytes=int(fields[21]) * os.sysconf("SC_PAGESIZE"),
    )


def _kill_group(pid: int) -> None:
    """SIGKILL a child and its group; the group may outlive it, or not exist yet."""
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def _describe_exit(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"
