"""What runs in a child process: it ends with its parent, is silent, and answers calls."""

import ctypes
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

READY, RETURNED, RAISED, NO_MEMORY = "ready", "returned", "raised", "no memory"
"""Kinds of answers; `returned` comes with a value, `raised` with an exception."""


def run_child(
    calls: Connection,
    messages: Connection,
    data_bytes: int,
    initializer: Callable[..., None],
    initargs: tuple[Any, ...],
) -> None:
    """Answer calls until the parent is gone.

    Args:
        calls: Gives (function, args); takes (kind, value).
        messages: Takes what native code writes to standard error.
        data_bytes: Most private memory that the kernel grants.
        initializer: Called once, before the first call.
        initargs: Arguments for it.
    """
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C ends
    _end_with_parent()
    _silence(messages)
    _bound_resources(data_bytes)
    try:
        initializer(*initargs)
        _send(calls, (READY, None))
        while True:
            _answer(calls)
            _give_memory_back()
    except EOFError:
        os._exit(0)
    except SystemExit as stop:  # a clean end could wait for native threads
        os._exit(stop.code if isinstance(stop.code, int) else int(stop.code is not None))


def _answer(calls: Connection) -> None:
    function, args = calls.recv()
    try:
        _send(calls, (RETURNED, function(*args)))
    except MemoryError:
        _send(calls, (NO_MEMORY, None))
    except Exception as error:  # noqa: BLE001 - the parent raises it
        _send(calls, (RAISED, _portable(error)))


class _Outlet:
    """Writes to a pipe what a pickler gives, without collecting it first."""

    def __init__(self, calls: Connection) -> None:
        self._number = calls.fileno()
        self.has_begun = False

    def write(self, data: Any) -> int:
        """Write all of a bytes-like object."""
        self.has_begun = True
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            rest = rest[os.write(self._number, rest) :]
        return size


def _send(calls: Connection, answer: tuple[str, Any]) -> None:
    """Send an answer in the stream of its pickle: the record of a long clip is not held twice."""
    outlet = _Outlet(calls)
    try:
        pickle.dump(answer, outlet, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception:
        if outlet.has_begun:  # half an answer cannot be taken back
            os._exit(1)
        raise


def _give_memory_back() -> None:
    """Return what a clip has used to the system, where the C library can."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own
        if trim is not None:
            trim(0)


def _portable(error: Exception) -> Exception:
    """The exception with its traceback as a note; a RuntimeError if it cannot be pickled."""
    text = "in the child process:\n" + "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    except Exception:  # noqa: BLE001 - whatever its __reduce__ does
        return RuntimeError(text)
    error.add_note(text)
    return error


def _end_with_parent() -> None:
    """Let the kernel kill the whole process group when the parent is gone, however it went.

    The parent holds the other end of a pipe on which nothing is ever sent. On Linux its end
    raises SIGKILL, which needs neither a thread nor the GIL.
    """
    parent = parent_process()
    if parent is None:
        raise RuntimeError("run_child must run in a child process")
    sentinel: Any = parent.sentinel
    if sys.platform == "linux":
        import fcntl

        fcntl.fcntl(sentinel, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(sentinel, fcntl.F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(sentinel, fcntl.F_GETFL)
        fcntl.fcntl(sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)
        if connection.wait([sentinel], 0):
            os._exit(1)
    else:
        threading.Thread(target=_exit_at_end_of, args=(sentinel,), daemon=True).start()


def _exit_at_end_of(sentinel: Any) -> None:
    connection.wait([sentinel])
    os._exit(1)


def _silence(messages: Connection) -> None:
    """Nothing that a library prints reaches the user; what fails is in the ledger.

    Native messages go to the parent, as far as the pipe holds them: writing never blocks.
    """
    os.set_blocking(messages.fileno(), False)
    os.dup2(messages.fileno(), 2)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    sys.stdout = sys.stderr = os.fdopen(null, "w")


def _bound_resources(data_bytes: int) -> None:
    """Bound private memory, write no core file, be the first to go if the machine runs out."""
    if sys.platform != "linux":
        return
    import resource

    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    if hard == resource.RLIM_INFINITY or data_bytes < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
