"""Temporary files that vanish with the processes that have them open."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import IO


@contextmanager
def nameless_file(folder: Path | None) -> Iterator[tuple[IO[bytes], Path]]:
    """Give a temporary file and a path by which this process and its children open it again.

    On Linux it has no name in any folder: the system frees it with the last process that has it
    open, whatever ends that process. Elsewhere it is removed at the end.

    Args:
        folder: An existing folder on the disk to use; None = the system's for temporary files.
    """
    if sys.platform != "linux":
        with NamedTemporaryFile(prefix="perfnet-prep-", dir=folder) as file:
            yield file, Path(file.name)
        return
    with TemporaryFile(dir=folder) as file:
        yield file, Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
