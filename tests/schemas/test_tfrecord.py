"""TFRecord framing: known checksums, damage named by record and file."""

import io
import struct

import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import ShardError
from schemas.tfrecord import frame_record, masked_crc32c, read_records

RECORDS = [b"first", b"", b"the third"]


def crc32c(data: bytes) -> int:
    """CRC-32C bit by bit (reflected polynomial 0x82F63B78)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def read(data: bytes) -> list[bytes]:
    return list(read_records(io.BytesIO(data), name="a.tfrecord"))


def test_crc_of_the_standard_vector() -> None:
    assert google_crc32c.value(b"123456789") == crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_masked_crc_is_rotated_by_15_bits_and_offset(data: bytes, crc: int) -> None:
    assert crc32c(data) == crc
    rotated = ((crc >> 15) | (crc << 17)) & 0xFFFFFFFF
    assert masked_crc32c(data) == (rotated + 0xA282EAD8) % 2**32


def test_record_is_length_crc_data_crc() -> None:
    head = struct.pack("<Q", 9)
    crc_of_head, crc_of_data = (struct.pack("<I", masked_crc32c(d)) for d in (head, b"123456789"))
    assert crc_of_data == bytes.fromhex("e5b08ac7")
    assert frame_record(b"123456789") == head + crc_of_head + b"123456789" + crc_of_data


@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.lists(st.binary(max_size=50), max_size=5))
def test_records_come_back(records: list[bytes]) -> None:
    assert read(b"".join(map(frame_record, records))) == records


def test_file_cut_in_a_header_is_refused() -> None:
    data = frame_record(b"one") + frame_record(b"two")[:5]
    message = r"^record 1 of a\.tfrecord must be complete, got 5 bytes of its header$"
    with pytest.raises(ShardError, match=message):
        read(data)


@pytest.mark.parametrize(("cut", "left"), [(1, 9), (4, 9), (5, 8), (13, 0)])
def test_file_cut_in_a_record_is_refused(cut: int, left: int) -> None:
    data = b"".join(map(frame_record, RECORDS))[:-cut]
    message = rf"^record 2 of a\.tfrecord must have 9 bytes, got {left}$"
    with pytest.raises(ShardError, match=message):
        read(data)


def test_every_cut_inside_a_record_is_refused() -> None:
    data = b"".join(map(frame_record, RECORDS))
    ends = {0, len(frame_record(RECORDS[0])), len(frame_record(RECORDS[0])) + 16}
    for size in set(range(len(data))) - ends:
        with pytest.raises(ShardError):
            read(data[:size])


def test_every_changed_bit_is_refused() -> None:
    data = frame_record(b"abc")
    for place in range(len(data) * 8):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(ShardError, match=r"^record 0 of a\.tfrecord must have the stored"):
            read(bytes(changed))


def test_wrong_checksum_of_the_length_is_named() -> None:
    data = bytearray(frame_record(b"abc"))
    data[0] ^= 1
    message = r"^record 0 of a\.tfrecord must have the stored checksum of its length, got another$"
    with pytest.raises(ShardError, match=message):
        read(bytes(data))


def test_wrong_checksum_of_the_data_is_named() -> None:
    data = frame_record(b"one") + frame_record(b"abc").replace(b"abc", b"abd")
    message = r"^record 1 of a\.tfrecord must have the stored checksum of its data, got another$"
    with pytest.raises(ShardError, match=message):
        read(data)


def test_records_before_the_damage_are_given() -> None:
    records = read_records(io.BytesIO(frame_record(b"one") + b"\0"), name="a")
    assert next(records) == b"one"


def test_huge_length_is_refused_without_reading_it() -> None:
    length = struct.pack("<Q", 2**63 - 1)
    data = length + struct.pack("<I", masked_crc32c(length)) + b"abc"
    with pytest.raises(ShardError, match=r"must have 9223372036854775807 bytes, got 3$"):
        read(data)
