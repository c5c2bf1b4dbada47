"""TFRecord framing: length, masked CRC-32C of the length, data, masked CRC-32C of the data."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

import google_crc32c

from schemas.errors import ShardError

_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_MASK_DELTA = 0xA282EAD8
_MAX_RECORD_BYTES = 1 << 40


def masked_crc32c(data: bytes) -> int:
    """Return the CRC-32C of `data`, rotated and offset as TFRecord files store it."""
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def frame_record(data: bytes) -> bytes:
    """Return one record as it stands in a TFRecord file."""
    return b"".join(framed_parts(data))


def framed_parts(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return `frame_record` in three parts, to be written without a copy of the data."""
    length = _LENGTH.pack(len(data))
    head = length + _CRC.pack(masked_crc32c(length))
    return head, data, _CRC.pack(masked_crc32c(data))


def read_records(file: BinaryIO, *, name: str) -> Iterator[bytes]:
    """Yield the records of a TFRecord file.

    Args:
        file: Open for reading in binary, at the start of a record.
        name: Name of the file in error messages.

    Raises:
        ShardError: If a checksum is wrong or the file ends inside a record.
    """
    index = 0
    while head := file.read(_LENGTH.size + _CRC.size):
        place = f"record {index} of {name}"
        if len(head) < _LENGTH.size + _CRC.size:
            raise ShardError(f"{place} must be complete, got {len(head)} bytes of its header")
        length_bytes = head[: _LENGTH.size]
        (length,) = _LENGTH.unpack(length_bytes)
        if _CRC.unpack(head[_LENGTH.size :])[0] != masked_crc32c(length_bytes):
            raise ShardError(f"{place} must have the stored checksum of its length, got another")
        data = file.read(min(length, _MAX_RECORD_BYTES))
        tail = file.read(_CRC.size)
        if len(data) < length or len(tail) < _CRC.size:
            raise ShardError(f"{place} must have {length} bytes, got {len(data)}")
        if _CRC.unpack(tail)[0] != masked_crc32c(data):
            raise ShardError(f"{place} must have the stored checksum of its data, got another")
        yield data
        index += 1
