"""Writers of one shard: records in, finished file out."""

from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.clip_record import ClipRecord
from schemas.labels import LabelMap
from schemas.parquet_rows import IMAGE_COLUMNS, parquet_schema, to_parquet_row
from schemas.sequence_example import encode_sequence_example
from schemas.tfrecord import framed_parts

ROW_GROUP_BYTES = 8 << 20
"""A Parquet row group is closed once it holds this many bytes of images: about one 10 s clip, so
that reading one clip at random does not read its neighbours."""


class ShardFile(Protocol):
    """A shard being written."""

    def write(self, record: ClipRecord) -> None:
        """Append a record."""
        ...

    def close(self) -> None:
        """Write what is still held back; the file underneath stays open."""
        ...


class Sink(Protocol):
    """Where a shard's bytes go, from the first to the last."""

    def write(self, data: bytes, /) -> int:
        """Append bytes; returns how many."""
        ...


class TFRecordShard:
    """Uncompressed TFRecord of SequenceExamples.

    Args:
        file: Open for writing in binary.
    """

    def __init__(self, file: Sink) -> None:
        self._file = file

    def write(self, record: ClipRecord) -> None:
        """Append a record."""
        for part in framed_parts(encode_sequence_example(record)):
            self._file.write(part)

    def close(self) -> None:
        """Do nothing: every record is written at once."""


class ParquetShard:
    """Parquet with one row per clip; images are stored as they are, the rest compressed.

    Args:
        file: Open for writing in binary.
        labels: Class names, stored for Hugging Face.
    """

    def __init__(self, file: Sink, labels: LabelMap) -> None:
        self._schema = parquet_schema(labels)
        images = {f"{name}.list.element.{leaf}" for name in IMAGE_COLUMNS for leaf in _IMAGE_LEAVES}
        leaves = _leaf_columns(self._schema)
        self._writer = pq.ParquetWriter(
            file,
            self._schema,
            compression={leaf: "NONE" if leaf in images else "ZSTD" for leaf in leaves},
            use_dictionary=[leaf for leaf in leaves if leaf not in images],
            write_statistics=[leaf for leaf in leaves if leaf not in images],
            write_page_checksum=True,
        )
        self._rows: list[dict[str, Any]] = []
        self._held_bytes = 0

    def write(self, record: ClipRecord) -> None:
        """Append a record."""
        self._rows.append(to_parquet_row(record))
        self._held_bytes += record.num_image_bytes
        if self._held_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        table = pa.Table.from_pylist(self._rows, schema=self._schema)
        self._writer.write_table(table, row_group_size=max(1, len(self._rows)))
        self._rows, self._held_bytes = [], 0

    def close(self) -> None:
        """Write the last row group and the footer."""
        if self._rows:
            self._flush()
        self._writer.close()


_IMAGE_LEAVES = ("bytes", "path")


def _leaf_columns(schema: pa.Schema) -> list[str]:
    """Parquet's dotted paths of all leaf columns."""

    def leaves(path: str, kind: pa.DataType) -> list[str]:
        if pa.types.is_list(kind):
            return leaves(f"{path}.list.element", kind.value_type)
        if pa.types.is_struct(kind):
            return [leaf for field in kind for leaf in leaves(f"{path}.{field.name}", field.type)]
        return [path]

    return [leaf for field in schema for leaf in leaves(field.name, field.type)]
