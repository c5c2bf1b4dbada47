"""Read the records of a finished shard, in either format."""

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow.parquet as pq

from schemas.clip_record import ClipRecord
from schemas.parquet_rows import from_parquet_row
from schemas.sequence_example import decode_sequence_example
from schemas.tfrecord import read_records


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
