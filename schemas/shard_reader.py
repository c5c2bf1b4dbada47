"""Read the records of a finished shard, in either format: all in order, or any one of them."""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.clip_record import ClipRecord, Stream
from schemas.errors import ShardError
from schemas.parquet_rows import columns_of, from_parquet_row, read_row
from schemas.sequence_example import decode_sequence_example
from schemas.tfrecord import read_record_at, read_records, record_offsets


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


class ShardReader(Protocol):
    """Any record of one local shard, with only the streams and frames asked for."""

    def __len__(self) -> int:
        """Return the number of records."""
        ...

    def read(
        self, index: int, *, streams: Collection[Stream], frames: Sequence[int] | None = None
    ) -> ClipRecord:
        """Return a record.

        Args:
            index: 0 to the number of records - 1; records are ordered by clip id.
            streams: Streams to read; the others are absent from the record.
            frames: Indices of the frames to read, in any order; None = all.

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

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._offsets)

    def read(
        self, index: int, *, streams: Collection[Stream], frames: Sequence[int] | None = None
    ) -> ClipRecord:
        """Return a record; see `ShardReader.read`."""
        _check_index(index, len(self), self._path)
        with self._path.open("rb") as file:
            data = read_record_at(file, self._offsets[index], name=self._path.name)
        return decode_sequence_example(data, streams=streams, frames=frames)


class ParquetShardReader:
    """Records of a Parquet shard by place; see `ShardReader`. Holds one row group.

    Args:
        path: A local file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._parquet = pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise ShardError(f"{path.name} must be a Parquet file, got {error}") from error
        self._held: tuple[int, list[str], pa.Table] | None = None

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
        self, index: int, *, streams: Collection[Stream], frames: Sequence[int] | None = None
    ) -> ClipRecord:
        """Return a record; see `ShardReader.read`."""
        _check_index(index, len(self), self._path)
        group = bisect_right(self._group_starts, index) - 1
        try:
            table = self._read_group(group, columns_of(streams))
            place = index - self._group_starts[group]
            return read_row(table, place, streams=streams, frames=frames)
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            place_text = f"record {index} of {self._path.name}"
            raise ShardError(f"{place_text} must be readable, got {error}") from error

    def _read_group(self, group: int, columns: list[str]) -> pa.Table:
        if self._held is None or self._held[:2] != (group, columns):
            table = self._parquet.read_row_group(group, columns=columns, use_threads=False)
            self._held = (group, columns, table)
        return self._held[2]


def _check_index(index: int, number: int, path: Path) -> None:
    if not 0 <= index < number:
        raise ShardError(f"{path.name} must have a record {index}, got {number} records")
