"""Size and hash of a file, taken while it is written, and whether it is still the same."""

import io
import os
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

from pipelines import storage

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class FileDigest:
    """What a file's bytes are, in short."""

    num_bytes: int
    blake2b: str
    """32 hex digits."""


class HashedFile(io.BufferedIOBase):
    """Passes on what is written to a file, and hashes it; for writers that never seek.

    Args:
        file: Open for writing in binary; closing this object leaves it open.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._hash = blake2b(digest_size=16)
        self._num_bytes = 0

    def writable(self) -> bool:
        """Whether it can be written to: yes."""
        return True

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self._num_bytes

    def write(self, data: Any) -> int:
        """Append bytes; returns how many."""
        self._file.write(data)
        self._hash.update(data)
        self._num_bytes += len(data)
        return len(data)

    def digest(self) -> FileDigest:
        """Return the digest of everything written so far."""
        return FileDigest(num_bytes=self._num_bytes, blake2b=self._hash.hexdigest())


def digest_file(path: str) -> FileDigest:
    """Return the digest of a file, local or remote."""
    hasher, num_bytes = blake2b(digest_size=16), 0
    with storage.open_input(path) as file:
        while block := file.read(_BLOCK_BYTES):
            hasher.update(block)
            num_bytes += len(block)
    return FileDigest(num_bytes=num_bytes, blake2b=hasher.hexdigest())


def has_digest(path: str, digest: FileDigest) -> bool:
    """Whether a file exists and holds the bytes of a digest; reads all of it."""
    if not storage.exists(path) or storage.size_of(path) != digest.num_bytes:
        return False
    return digest_file(path) == digest


def is_unchanged(path: str, digest: FileDigest, *, marker: str) -> bool:
    """Whether a file may be taken for the one of a digest, read only if its time is suspicious.

    A local file that is not younger than its marker is trusted by its size, as `make` does it; a
    younger one has to have the digest. Remote files are trusted by their size.

    Args:
        path: The file.
        digest: What it has to be.
        marker: File that was written right after it.
    """
    if not storage.exists(path) or storage.size_of(path) != digest.num_bytes:
        return False
    if storage.is_remote(path):
        return True
    if Path(path).stat().st_mtime_ns <= Path(marker).stat().st_mtime_ns:
        return True
    if digest_file(path) != digest:
        return False
    with suppress(OSError):  # a folder that cannot be written is read again next time
        os.utime(marker)
    return True
