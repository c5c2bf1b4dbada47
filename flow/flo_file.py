"""Middlebury `.flo` files: "PIEH", width, height, then (dx, dy) float32 rows, little-endian."""

import struct

import numpy as np
import numpy.typing as npt

from schemas.checks import check_array

_MAGIC = b"PIEH"
_HEADER = struct.Struct("<4sii")


def encode_flo(flow: npt.NDArray[np.float32]) -> bytes:
    """Return the bytes of a `.flo` file.

    Args:
        flow: float32 [H, W, 2], (dx, dy) in pixels.

    Raises:
        ValueError: If flow is not float32 [H, W, 2].

    References:
        Baker et al. 2011, Middlebury flow code, `flowIO.cpp`.
    """
    check_array("flow", flow, dtype=np.float32, axes="H W C", C=2)
    height, width = flow.shape[:2]
    return _HEADER.pack(_MAGIC, width, height) + flow.astype("<f4").tobytes()


def decode_flo(data: bytes) -> npt.NDArray[np.float32]:
    """Return the flow field of a `.flo` file: float32 [H, W, 2], (dx, dy) in pixels.

    Raises:
        ValueError: If data does not start with the magic "PIEH" or is shorter or longer than
            its header says.
    """
    if len(data) < _HEADER.size or data[:4] != _MAGIC:
        raise ValueError(f"flo file must start with {_MAGIC!r}, got {data[:4]!r}")
    _, width, height = _HEADER.unpack_from(data)
    expected = _HEADER.size + max(0, width) * max(0, height) * 8
    if width < 1 or height < 1 or len(data) != expected:
        raise ValueError(
            f"flo file of {width}x{height} must have {expected} bytes, got {len(data)}"
        )
    values = np.frombuffer(data, "<f4", offset=_HEADER.size).astype(np.float32)
    return values.reshape(height, width, 2)
