"""Where the annotation files come from: a local disk, or whatever the caller brings."""

import os
import stat
from pathlib import Path
from typing import Protocol

from schemas.errors import ConfigError

MAX_FILE_BYTES = 512 << 20
"""Larger annotation files are refused; that of Kinetics-700 has 35 MB."""


class TextFiles(Protocol):
    """Files by path; other storage (object stores) has its own class with these methods."""

    def read_text(self, path: str) -> str:
        """Return the content of a UTF-8 file.

        Raises:
            ConfigError: If there is no such file, or it is no UTF-8 text.
        """
        ...

    def list_names(self, path: str) -> list[str]:
        """Return the names of the files in a folder, without their path.

        Raises:
            ConfigError: If there is no such folder.
        """
        ...


class LocalTextFiles:
    """Files of the local disk."""

    def read_text(self, path: str) -> str:
        """Return the content of a UTF-8 file, line ends as they are.

        Raises:
            ConfigError: If the file cannot be read, is larger than `MAX_FILE_BYTES`, or is no
                UTF-8 text.
        """
        try:
            with Path(path).open("rb") as file:
                status = os.fstat(file.fileno())
                size = status.st_size if stat.S_ISREG(status.st_mode) else 0
                data = b"" if size > MAX_FILE_BYTES else file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            rule = "annotation file must be a file that can be read"
            raise ConfigError(f"{rule}, got {path!r}: {error.strerror}") from error
        return decode_text(data, path, num_bytes=max(size, len(data)))

    def list_names(self, path: str) -> list[str]:
        """Return the names of the files in a folder, sorted.

        Raises:
            ConfigError: If the folder cannot be read.
        """
        try:
            return sorted(entry.name for entry in Path(path).iterdir() if entry.is_file())
        except OSError as error:
            rule = "annotations must be a folder that can be read"
            raise ConfigError(f"{rule}, got {path!r}: {error.strerror}") from error


def decode_text(data: bytes, path: str, *, num_bytes: int) -> str:
    """Return the text of an annotation file, line ends as they are.

    Args:
        data: Its content, complete if it is not too large.
        path: Its path, for messages.
        num_bytes: Its size, as far as it is known.

    Raises:
        ConfigError: If it is larger than `MAX_FILE_BYTES`, or no UTF-8 text.
    """
    if num_bytes > MAX_FILE_BYTES:
        limit = f"{MAX_FILE_BYTES >> 20} MiB"
        size = f"{-(-num_bytes >> 20)} MiB or more"
        raise ConfigError(
            f"annotation file must have at most {limit}, got {path} with {size}; "
            "check that it is one, or split it into several"
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte {data[error.start]:#04x} at offset {error.start}"
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}:{line} must be UTF-8 text, got {byte}; save it as UTF-8"
        ) from error
