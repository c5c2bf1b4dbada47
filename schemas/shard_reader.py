"""Read the records of a finished shard, in either format: all in order, or any one of them."""

import struct
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.clip_record import ClipRecord, Stream
from schemas.errors import ShardError
from schemas.parquet_pages import ImagePages
from schemas.parquet_rows import IMAGE_COLUMNS, columns_of, from_parquet_row, read_row
from schemas.sequence_example import decode_part, decode_sequence_example
from schemas.tfrecord import find_record, read_records, record_offsets
from schemas.wire_scan import Span


def read_shard(file: BinaryIO, *, name: str) -> Iterator[ClipRecord]:
    """Yield the records of a shard in their order; every checksum is verified.

    Args:
        file: Open for reading in binary.
        name: Name of the file: `.parquet` at its end tells the format, errors mention it.

    Raises:
        ShardError: If a TFRecord is damaged.
        pyarrow.ArrowException, OSError: If Parquet is damaged.
        RecordError, ValueError, KeyError, TypeError: If a record does not keep the format.
    """
    if name.endswith(".parquet"):
        # Without threads: one that holds `file` when the interpreter ends aborts the process.
        parquet = pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=True)
        for group in range(parquet.num_row_groups):
            for row in parquet.read_row_group(group, use_threads=False).to_pylist():
                yield from_parquet_row(row)
    else:
        for data in read_records(file, name=name):
            yield decode_sequence_example(data)


_DAMAGE = (pa.ArrowException, OSError, LookupError, TypeError, ValueError, struct.error)
_HELD_GROUPS = 32  # of a Parquet shard, without images: some 10 kB for each clip


class ShardReader(Protocol):
    """Any record of one local shard, with only the streams and frames asked for."""

    def __len__(self) -> int:
        """Return the number of records."""
        ...

    def read(
        self,
        index: int,
        *,
        streams: Collection[Stream],
        frames: Sequence[int] | None = None,
        is_verified: bool = False,
    ) -> ClipRecord:
        """Return a record.

        Args:
            index: 0 to the number of records - 1; records are ordered by clip id.
            streams: Streams to read; the others are absent from the record.
            frames: Indices of the frames to read, in any order; None = all.
            is_verified: The record has been read before, and its checksum need not be verified
                again. Pages of Parquet are, as often as they are read.

        Raises:
            ShardError: If the shard has no such record or frame, or is damaged.
            RecordError: If the record does not keep the format.
        """
        ...


def open_shard(path: Path) -> ShardReader:
    """Open a shard for reading any of its records; the name tells the format.

    Raises:
        ShardError: If there is no such file or it cannot be read as a shard.
    """
    if not path.is_file():
        raise ShardError(
            f"shard must exist, got no file {path}; run its `perfnet-prep build` again"
        )
    return ParquetShardReader(path) if path.suffix == ".parquet" else TFRecordShardReader(path)


class TFRecordShardReader:
    """Records of a TFRecord shard by place; see `ShardReader`.

    Args:
        path: A local file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            self._offsets = record_offsets(file, name=path.name)

    @cached_property
    def _data(self) -> mmap:
        """The file in memory: no copy is made of the frames that nobody asks for."""
        with self._path.open("rb") as file:
            return mmap(file.fileno(), 0, access=ACCESS_READ)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._offsets)

    def read(
        self,
        index: int,
        *,
        streams: Collection[Stream],
        frames: Sequence[int] | None = None,
        is_verified: bool = False,
    ) -> ClipRecord:
        """Return a record; see `ShardReader.read`."""
        _check_index(index, len(self), self._path)
        offset, name = self._offsets[index], self._path.name
        start, end = find_record(self._data, offset, name=name, is_verified=is_verified)
        return decode_part(self._data, Span(start, end), streams=streams, frames=frames)


class ParquetShardReader:
    """Records of a Parquet shard by place; see `ShardReader`.

    Images are taken out of their pages one by one; everything else is read by row group, of which
    some are held.

    Args:
        path: A local file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._parquet = pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise ShardError(f"{path.name} must be a Parquet file, got {error}") from error
        self._pages = ImagePages(path, self._parquet.metadata)
        self._held: dict[tuple[int, tuple[str, ...]], pa.Table] = {}

    @cached_property
    def _group_starts(self) -> list[int]:
        """First row of every row group, and the number of rows."""
        metadata = self._parquet.metadata
        starts = [0]
        for group in range(metadata.num_row_groups):
            starts.append(starts[-1] + metadata.row_group(group).num_rows)
        return starts

    def __len__(self) -> int:
        """Return the number of records."""
        return int(self._parquet.metadata.num_rows)

    def read(
        self,
        index: int,
        *,
        streams: Collection[Stream],
        frames: Sequence[int] | None = None,
        is_verified: bool = False,  # noqa: ARG002 - what is read of pages is verified
    ) -> ClipRecord:
        """Return a record; see `ShardReader.read`."""
        _check_index(index, len(self), self._path)
        group = bisect_right(self._group_starts, index) - 1
        try:
            return self._read_row(
                group, index - self._group_starts[group], columns_of(streams), frames
            )
        except _DAMAGE as error:
            place_text = f"record {index} of {self._path.name}"
            raise ShardError(f"{place_text} must be readable, got {error}") from error

    def _read_row(
        self, group: int, row: int, columns: list[str], frames: Sequence[int] | None
    ) -> ClipRecord:
        paged = [name for name in columns if name in IMAGE_COLUMNS and self._pages.has(group, name)]
        table = self._read_group(group, tuple(name for name in columns if name not in paged))
        lengths = table.column("num_frames").to_pylist()
        if any(self._pages.num_images(group, name) != sum(lengths) for name in paged):
            table, paged = self._read_group(group, tuple(columns)), []  # some rows have none
        wanted = range(lengths[row]) if frames is None else frames
        if wanted and not 0 <= min(wanted) <= max(wanted) < lengths[row]:
            text = f"{min(wanted)} to {max(wanted)}, got {lengths[row]} frames"
            raise ShardError(f"record must have the frames {text}")
        first = sum(lengths[:row])
        numbers = [first + t for t in wanted]
        images = {name: self._pages.read(group, name, numbers) for name in paged}
        return read_row(table, row, frames=frames, images=images)

    def _read_group(self, group: int, columns: tuple[str, ...]) -> pa.Table:
        held = self._held.get((group, columns))
        if held is None:
            if len(self._held) >= _HELD_GROUPS:
                self._held.pop(next(iter(self._held)))
            held = self._parquet.read_row_group(group, columns=list(columns), use_threads=False)
            is_small = not set(columns) & set(IMAGE_COLUMNS)
            if not is_small:
                self._held.clear()
            self._held[group, columns] = held
        return held


def _check_index(index: int, number: int, path: Path) -> None:
    if not 0 <= index < number:
        raise ShardError(f"{path.name} must have a record {index}, got {number} records")
