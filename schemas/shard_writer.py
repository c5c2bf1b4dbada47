"""Writers of one shard: records in, finished file out."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.clip_record import ClipRecord
from schemas.image_column import ImageColumn
from schemas.labels import LabelMap
from schemas.parquet_rows import IMAGE_COLUMNS, parquet_schema, to_row_without_images
from schemas.sequence_example import sequence_example_pieces
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
        example = sequence_example_pieces(record)
        for part in framed_parts(example.parts, num_bytes=example.num_bytes):
            self._file.write(part)

    def close(self) -> None:
        """Do nothing: every record is written at once."""


class ParquetShard:
    """Parquet with one row per clip; images are stored as they are, the rest compressed.

    A row group is written column by column: until it is complete, its images wait in files.

    Args:
        file: Open for writing in binary.
        labels: Class names, stored for Hugging Face.
        has_pa: Whether the records hold persistence of appearance.
        temp_folder: Existing folder for those files; None = the system's. They have no name, so
            that none is left whatever ends the process.
    """

    def __init__(
        self,
        file: Sink,
        labels: LabelMap,
        temp_folder: Path | None = None,
        *,
        has_pa: bool = False,
    ) -> None:
        self._temp_folder = temp_folder
        self._rows: list[dict[str, Any]] = []
        self._images: dict[str, ImageColumn] = {}
        self._held_bytes = 0
        self._schema = parquet_schema(labels, has_pa=has_pa)
        self._image_columns = [name for name in IMAGE_COLUMNS if name in self._schema.names]
        images = {
            f"{name}.list.element.{leaf}" for name in self._image_columns for leaf in _IMAGE_LEAVES
        }
        leaves = _leaf_columns(self._schema)
        self._writer = pq.ParquetWriter(
            _WatchedSink(file, after_write=self._release),
            self._schema,
            compression={leaf: "NONE" if leaf in images else "ZSTD" for leaf in leaves},
            use_dictionary=[leaf for leaf in leaves if leaf not in images],
            write_statistics=[leaf for leaf in leaves if leaf not in images],
            write_page_checksum=True,
        )

    def write(self, record: ClipRecord) -> None:
        """Append a record."""
        try:
            self._hold(record)
        except BaseException:
            self._drop_group()  # it cannot be completed
            raise
        if self._held_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """Write the last row group and the footer."""
        if self._rows:
            self._flush()
        self._writer.close()

    def _hold(self, record: ClipRecord) -> None:
        """Append a record to the row group."""
        self._rows.append(to_row_without_images(record))
        for name in self._image_columns:
            if name not in self._images:
                kind = self._schema.field(name).type
                self._images[name] = ImageColumn(kind, self._temp_folder)
            self._images[name].append(getattr(record, name))
        self._held_bytes += record.num_image_bytes

    def _flush(self) -> None:
        """Write the row group."""
        try:
            columns = [
                self._images[field.name].to_arrow()
                if field.name in self._images
                else pa.array([row[field.name] for row in self._rows], field.type)
                for field in self._schema
            ]
            table = pa.Table.from_arrays(columns, schema=self._schema)
            self._writer.write_table(table, row_group_size=len(self._rows))
        finally:
            self._drop_group()

    def _drop_group(self) -> None:
        for column in self._images.values():
            column.close()
        self._rows, self._images, self._held_bytes = [], {}, 0

    def _release(self) -> None:
        for column in self._images.values():
            column.release()


class _WatchedSink(io.RawIOBase):
    """Passes on what is written, and says so; closing it leaves the file below open."""

    def __init__(self, file: Sink, after_write: Callable[[], None]) -> None:
        super().__init__()
        self._file = file
        self._after_write = after_write

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        num_bytes = self._file.write(data)
        self._after_write()
        return num_bytes


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
