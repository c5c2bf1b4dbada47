"""JSON values that carry a checksum of their own content: damage is never taken for data."""

import json
from hashlib import blake2b
from typing import Any

_SEAL = "checksum"


def hash_json(value: object) -> str:
    """Return 16 hex digits that change with any part of a JSON-ready value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return blake2b(text.encode("utf-8"), digest_size=8).hexdigest()


def seal(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values and their checksum.

    Args:
        values: JSON-ready, without the key `checksum`. Not modified.
    """
    return {**values, _SEAL: hash_json(values)}


def unseal(sealed: object) -> dict[str, Any] | None:
    """Return the values that `seal` was given; None if they are not as they were sealed."""
    if not isinstance(sealed, dict):
        return None
    values = {name: value for name, value in sealed.items() if name != _SEAL}
    return values if sealed.get(_SEAL) == hash_json(values) else None
