"""Files of sealed JSON: damage is never taken for data."""

from typing import Any

from pipelines import storage
from schemas.errors import ShardError
from schemas.sealed_json import seal, unseal


def write_sealed_json(path: str, values: dict[str, Any], *, temp_folder: str) -> None:
    """Write values and their checksum; the file appears under its name only when complete.

    Args:
        path: Final name; an older file is replaced.
        values: JSON-ready, without the key `checksum`.
        temp_folder: Folder on the same file system for the unfinished file.
    """
    storage.write_json(path, seal(values), temp_folder=temp_folder)


def read_sealed_json(path: str) -> dict[str, Any] | None:
    """Return what `write_sealed_json` wrote; None if the file is missing or damaged."""
    try:
        return unseal(storage.read_json(path))
    except ShardError:
        return None
