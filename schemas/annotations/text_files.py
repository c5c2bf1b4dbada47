"""Where the annotation files come from: a local disk, or whatever the caller brings."""

from pathlib import Path
from typing import Protocol

from schemas.errors import ConfigError


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
            ConfigError: If the file cannot be read, or is no UTF-8 text.
        """
        try:
            return Path(path).read_bytes().decode("utf-8")
        except OSError as error:
            rule = "annotation file must be a file that can be read"
            raise ConfigError(f"{rule}, got {path!r}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            byte = f"byte {error.object[error.start]:#04x} at offset {error.start}"
            rule = "must be UTF-8 text"
            raise ConfigError(f"{path} {rule}, got {byte}; save it as UTF-8") from error

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
