"""TFRecord framing: length, masked CRC-32C of the length, data, masked CRC-32C of the data."""

import struct
from collections.abc import Iterable, Iterator
from mmap import mmap
from typing import BinaryIO

import google_crc32c
import numpy as np
import numpy.typing as npt

from schemas.errors import ShardError

_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_MASK_DELTA = 0xA282EAD8
_MAX_RECORD_BYTES = 1 << 40


def masked_crc32c(data: bytes | npt.NDArray[np.uint8]) -> int:
    """Return the CRC-32C of `data`, rotated and offset as TFRecord files store it."""
    return _mask(google_crc32c.value(data))


def _mask(crc: int) -> int:
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def frame_record(data: bytes) -> bytes:
    """Return one record as it stands in a TFRecord file."""
    return b"".join(framed_parts([data], num_bytes=len(data)))


def framed_parts(parts: Iterable[bytes], *, num_bytes: int) -> Iterator[bytes]:
    """Yield `frame_record` of data that comes in parts, which are not held.

    Args:
        parts: The data.
        num_bytes: How many bytes all parts have together.
    """
    length = _LENGTH.pack(num_bytes)
    yield length + _CRC.pack(masked_crc32c(length))
    crc = 0
    for part in parts:
        crc = google_crc32c.extend(crc, part)
        yield part
    yield _CRC.pack(_mask(crc))


def read_records(file: BinaryIO, *, name: str) -> Iterator[bytes]:
    """Yield the records of a TFRecord file.

    Args:
        file: Open for reading in binary, at the start of a record.
        name: Name of the file in error messages.

    Raises:
        ShardError: If a checksum is wrong or the file ends inside a record.
    """
    index = 0
    while (data := _read_next(file, f"record {index} of {name}")) is not None:
        yield data
        index += 1


def find_record(
    data: mmap, offset: int, *, name: str, is_verified: bool = False
) -> tuple[int, int]:
    """Return where the data of a record start and end, with its checksums verified.

    Args:
        data: A whole file.
        offset: A place of `record_offsets`.
        name: Name of the file in error messages.
        is_verified: The data have been verified before; they are not read again for that.

    Raises:
        ShardError: If a checksum is wrong or the file ends inside the record.
    """
    place = f"record at byte {offset} of {name}"
    data.seek(offset)
    length = _read_length(data, place)
    if length is None:
        raise ShardError(f"{place} must exist, got the end of the file")
    start = data.tell()
    end = start + length
    tail = data[end : end + _CRC.size]
    if len(tail) < _CRC.size:
        raise ShardError(f"{place} must have {length} bytes, got {len(data) - start}")
    if is_verified:
        return start, end
    payload = np.frombuffer(data, np.uint8, count=length, offset=start)
    if _CRC.unpack(tail)[0] != masked_crc32c(payload):
        raise ShardError(f"{place} must have the stored checksum of its data, got another")
    return start, end


def record_offsets(file: BinaryIO, *, name: str) -> list[int]:
    """Return where each record starts, without reading the data between.

    Raises:
        ShardError: If the checksum of a length is wrong or a header is cut short.
    """
    offsets: list[int] = []
    offset = 0
    file.seek(0)
    while (length := _read_length(file, f"record {len(offsets)} of {name}")) is not None:
        offsets.append(offset)
        offset += _LENGTH.size + _CRC.size + length + _CRC.size
        file.seek(offset)
    return offsets


def _read_length(file: BinaryIO | mmap, place: str) -> int | None:
    """Length of the data that follows; None at the end of the file."""
    head = file.read(_LENGTH.size + _CRC.size)
    if not head:
        return None
    if len(head) < _LENGTH.size + _CRC.size:
        raise ShardError(f"{place} must be complete, got {len(head)} bytes of its header")
    length_bytes = head[: _LENGTH.size]
    if _CRC.unpack(head[_LENGTH.size :])[0] != masked_crc32c(length_bytes):
        raise ShardError(f"{place} must have the stored checksum of its length, got another")
    return int(_LENGTH.unpack(length_bytes)[0])


def _read_next(file: BinaryIO, place: str) -> bytes | None:
    """Data of the record that starts here; None at the end of the file."""
    length = _read_length(file, place)
    if length is None:
        return None
    data = file.read(min(length, _MAX_RECORD_BYTES))
    tail = file.read(_CRC.size)
    if len(data) < length or len(tail) < _CRC.size:
        raise ShardError(f"{place} must have {length} bytes, got {len(data)}")
    if _CRC.unpack(tail)[0] != masked_crc32c(data):
        raise ShardError(f"{place} must have the stored checksum of its data, got another")
    return data
