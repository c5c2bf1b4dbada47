"""What a file says about its own structure, before any decoder looks at it."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_MAX_BOXES = 100_000
_HEAD_BYTES = 4096
_EBML_ID = bytes.fromhex("1a45dfa3")
_SEGMENT_ID = bytes.fromhex("18538067")
_ASF_ID = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_TS_PACKET_BYTES = 188
_TS_SYNC = 0x47


def top_level_boxes(path: Path) -> list[str]:
    """Return the names of the boxes at the top level of an MP4 or MOV file.

    [] for any other file; what follows a damaged header is left out.
    """
    with path.open("rb") as file:
        return list(_walk_boxes(file, path.stat().st_size))


def _walk_boxes(file: BinaryIO, size: int) -> Iterator[str]:
    position = 0
    for _ in range(_MAX_BOXES):
        file.seek(position)
        header = file.read(16)
        name, length = header[4:8], int.from_bytes(header[:4], "big")
        if length == 1 and len(header) == 16:
            length = int.from_bytes(header[8:], "big")
        elif length == 0:
            length = size - position  # the box reaches to the end of the file
        if len(name) < 4 or length < 8 or not (name.isascii() and name.decode().isprintable()):
            return
        yield name.decode()
        position += length
        if position >= size:
            return


def missing_bytes(path: Path) -> int:
    """Return how many bytes are missing at the end of a Matroska, WebM, ASF or MPEG-TS file.

    0 if none are, if the file does not state its length, or for any other format: FFmpeg marks
    the last packet of those if it is cut short.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        if head.startswith(_EBML_ID):
            file.seek(len(_EBML_ID))
            return max(0, _segment_end(file) - size)
    if head.startswith(_ASF_ID):
        return max(0, _asf_size(head) - size)
    if len(head) > 2 * _TS_PACKET_BYTES and set(head[::_TS_PACKET_BYTES][:3]) == {_TS_SYNC}:
        return -size % _TS_PACKET_BYTES
    return 0


def _asf_size(head: bytes) -> int:
    """File size in bytes in the header of an ASF file; 0 if it is not there."""
    place = head.find(_ASF_FILE_PROPERTIES)
    # The object: its id, its own size and the id of the file come first.
    return 0 if place < 0 else int.from_bytes(head[place + 40 : place + 48], "little")


def _segment_end(file: BinaryIO) -> int:
    """End of the Matroska segment as stated; 0 if it is not. `file` is after the EBML id."""
    header_bytes = _read_ebml_size(file)
    if header_bytes is None:
        return 0
    file.seek(header_bytes, 1)
    if file.read(4) != _SEGMENT_ID:
        return 0
    segment_bytes = _read_ebml_size(file)
    return 0 if segment_bytes is None else file.tell() + segment_bytes


def _read_ebml_size(file: BinaryIO) -> int | None:
    """The next size; None if it is unknown or damaged."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    num_bytes = 9 - first[0].bit_length()
    rest = file.read(num_bytes - 1)
    mask = (1 << 7 * num_bytes) - 1
    value = int.from_bytes(first + rest, "big") & mask
    return None if value == mask or len(rest) < num_bytes - 1 else value
