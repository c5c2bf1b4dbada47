"""JSON files that carry a checksum of their own content: damage is never taken for data."""

from typing import Any

from pipelines import storage
from pipelines.config import hash_json
from schemas.errors import ShardError

_SEAL = "checksum"


def write_sealed_json(path: str, values: dict[str, Any], *, temp_folder: str) -> None:
    """Write values and their checksum; the file appears under its name only when complete.

    Args:
        path: Final name; an older file is replaced.
        values: JSON-ready, without the key `checksum`.
        temp_folder: Folder on the same file system for the unfinished file.
    """
    sealed = {**values, _SEAL: hash_json(values)}
    storage.write_json(path, sealed, temp_folder=temp_folder)


def read_sealed_json(path: str) -> dict[str, Any] | None:
    """Return what `write_sealed_json` wrote; None if the file is missing or damaged."""
    try:
        values = storage.read_json(path)
    except ShardError:
        return None
    if not isinstance(values, dict):
        return None
    checksum = values.pop(_SEAL, None)
    return values if checksum == hash_json(values) else None
