"""Single images out of a Parquet file, without reading the whole column chunk that holds them.

Arrow reads a column of a row group as a whole: all frames of all its clips, for a window of one.
Our shards store images uncompressed and one after the other (encoding PLAIN), in pages of about a
megabyte, so the pages that hold the frames of a window can be found and checked by themselves.

References: https://parquet.apache.org/docs/file-format/; Thrift compact protocol specification.
"""

import struct
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
from isal import isal_zlib

from schemas.errors import ShardError

_LENGTH = struct.Struct("<I")
_DATA_PAGE, _PLAIN = 0, 0
_TYPE, _SIZE, _CRC, _DATA_HEADER = 1, 3, 4, 5  # fields of PageHeader
_NUM_VALUES, _ENCODING = 1, 2  # fields of DataPageHeader
_STOP, _TRUE, _FALSE, _INTEGERS, _BINARY, _STRUCT = 0, 1, 2, (4, 5, 6), 8, 12


class _Page(NamedTuple):
    """A data page of a column chunk."""

    start: int
    """Where it starts in the file, after its header."""
    size: int
    crc: int | None
    first: int
    """Number of its first image within the chunk."""
    num_images: int


class ImagePages:
    """Images of a Parquet file by row group, column and number.

    Args:
        path: A local file.
        metadata: Its footer.
    """

    def __init__(self, path: Path, metadata: pq.FileMetaData) -> None:
        self._path, self._metadata = path, metadata
        self._chunks: dict[tuple[int, str], list[_Page] | None] = {}

    @cached_property
    def _data(self) -> mmap:
        with self._path.open("rb") as file:
            return mmap(file.fileno(), 0, access=ACCESS_READ)

    @cached_property
    def _columns(self) -> dict[str, int]:
        """Index of every leaf column by its dotted path."""
        schema = self._metadata.schema
        return {schema.column(index).path: index for index in range(len(schema))}

    def has(self, group: int, column: str) -> bool:
        """Return whether a column of images is stored so that single ones can be read."""
        return self._pages(group, column) is not None

    def num_images(self, group: int, column: str) -> int:
        """Return the number of images of a column, counting every clip without any as one."""
        pages = self._pages(group, column) or []
        return pages[-1].first + pages[-1].num_images if pages else 0

    def read(self, group: int, column: str, numbers: Sequence[int]) -> list[bytes]:
        """Return images.

        Args:
            group: Row group.
            column: A column for which `has` is true.
            numbers: Which images of the row group, in any order.

        Raises:
            ShardError: If a page does not have its checksum.
            ValueError, struct.error: If it is damaged in another way.
        """
        pages = self._pages(group, column) or []
        starts = [page.first for page in pages]
        images: dict[int, bytes] = {}
        wanted = set(numbers)
        for page in {pages[bisect_right(starts, number) - 1] for number in wanted}:
            images.update(self._read_page(page, wanted))
        return [images[number] for number in numbers]

    def _read_page(self, page: _Page, wanted: set[int]) -> dict[int, bytes]:
        """The images of a page that are wanted, by number."""
        data, end = self._data, page.start + page.size
        payload = memoryview(data)[page.start : end]
        if page.crc is not None and isal_zlib.crc32(payload) != page.crc:
            place_text = f"page at byte {page.start} of {self._path.name}"
            raise ShardError(f"{place_text} must have its stored checksum, got another")
        place = self._after_levels(page.start)
        images = {}
        for number in range(page.first, page.first + page.num_images):
            (length,) = _LENGTH.unpack_from(data, place)
            place += _LENGTH.size
            if place + length > end:
                raise ValueError(f"image {number} must end in its page, got {length} bytes")
            if number in wanted:
                images[number] = data[place : place + length]
            place += length
        return images

    def _after_levels(self, place: int) -> int:
        """Where the values of a page start: after its repetition and definition levels."""
        for _ in range(2):
            place += _LENGTH.size + _LENGTH.unpack_from(self._data, place)[0]
        return place

    def _pages(self, group: int, column: str) -> list[_Page] | None:
        """All pages of a column of images, or None if they cannot be read one by one."""
        key = (group, column)
        if key not in self._chunks:
            self._chunks[key] = self._find_pages(group, column)
        return self._chunks[key]

    def _find_pages(self, group: int, column: str) -> list[_Page] | None:
        index = self._columns.get(f"{column}.list.element.bytes")
        if index is None:
            return None
        chunk = self._metadata.row_group(group).column(index)
        if chunk.compression != "UNCOMPRESSED" or chunk.has_dictionary_page:
            return None
        pages: list[_Page] = []
        place, end = chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size
        first = 0
        while place < end:
            header, place = _read_struct(self._data, place)
            values = header.get(_DATA_HEADER, {})
            if header[_TYPE] != _DATA_PAGE or values.get(_ENCODING) != _PLAIN:
                return None
            size, number = header[_SIZE], values[_NUM_VALUES]
            if place + size - self._after_levels(place) < _LENGTH.size * number:
                return None  # some are null
            crc = header[_CRC] & 0xFFFFFFFF if _CRC in header else None
            pages.append(_Page(place, size, crc, first, number))
            first += number
            place += size
        return pages


def _read_struct(data: mmap, place: int) -> tuple[dict[int, Any], int]:
    """Fields of a struct in Thrift's compact protocol by number, and where it ends.

    Raises:
        ValueError: If it has a field of a kind that page headers do not have.
    """
    fields: dict[int, Any] = {}
    number = 0
    while (head := data[place]) != _STOP:
        place += 1
        kind, step = head & 0x0F, head >> 4
        if not step:
            raise ValueError("page header must number its fields in steps of 1 to 15, got another")
        number += step
        if kind in (_TRUE, _FALSE):
            fields[number] = kind == _TRUE
        elif kind in _INTEGERS:
            code, place = _read_varint(data, place)
            fields[number] = (code >> 1) ^ -(code & 1)
        elif kind == _BINARY:
            length, place = _read_varint(data, place)
            fields[number] = data[place : place + length]
            place += length
        elif kind == _STRUCT:
            fields[number], place = _read_struct(data, place)
        else:
            raise ValueError(f"page header must have fields of known kinds, got {kind}")
    return fields, place + 1


def _read_varint(data: mmap, place: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and where it ends."""
    number = shift = 0
    while True:
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7
