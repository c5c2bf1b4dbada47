"""Shard writers: bytes do not depend on where the images wait, memory not on their number."""

import io
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas import shard_writer
from schemas.clip_record import ClipRecord
from schemas.example_proto import SequenceExample
from schemas.labels import LabelMap
from schemas.parquet_rows import parquet_schema, to_parquet_row
from schemas.sequence_example import encode_sequence_example
from schemas.shard_writer import ParquetShard, TFRecordShard
from schemas.stored_images import StoredImages
from schemas.tfrecord import frame_record

MakeRecord = Callable[..., ClipRecord]
LABELS = LabelMap(("abseiling", "play golf"))
STREAMS = ("rgb", "pose_overlay", "flow", "flow_x", "flow_y")


def stored(record: ClipRecord, folder: Path) -> ClipRecord:
    """The same record with images that wait in files."""
    changes: dict[str, Any] = {}
    for name in STREAMS:
        images = getattr(record, name)
        sizes = tuple(map(len, images))
        (folder / name).write_bytes(b"".join(images))
        starts = tuple(accumulate(sizes, initial=0))[:-1]
        changes[name] = StoredImages(path=folder / name, starts=starts, sizes=sizes)
    return replace(record, **changes)


def parquet_bytes(records: list[ClipRecord], folder: Path) -> bytes:
    file = io.BytesIO()
    with closing(ParquetShard(file, LABELS, folder)) as shard:
        for record in records:
            shard.write(record)
    return file.getvalue()


def plain_parquet_bytes(groups: list[list[ClipRecord]]) -> bytes:
    """What the same settings make of tables that hold everything in memory."""
    file, schema = io.BytesIO(), parquet_schema(LABELS)
    with closing(ParquetShard(file, LABELS)) as shard:
        for records in groups:
            table = pa.Table.from_pylist([to_parquet_row(each) for each in records], schema=schema)
            shard._writer.write_table(table)
    return file.getvalue()


@pytest.fixture
def records(make_record: MakeRecord) -> list[ClipRecord]:
    """Clips of several lengths, with streams that are absent and images that are empty."""
    return [
        make_record(3),
        make_record(2, rgb=(b"", b"\xff" * 300), flow=()),
        make_record(1, flow_x=(), flow_y=(), poses=None),
        make_record(2000),
        make_record(1, pose_overlay=()),
    ]


def test_tfrecord_has_the_bytes_of_protobuf_and_does_not_depend_on_where_images_wait(
    records: list[ClipRecord], tmp_path: Path
) -> None:
    for record in records:
        file = io.BytesIO()
        TFRecordShard(file).write(stored(record, tmp_path))
        message = encode_sequence_example(record)
        again = SequenceExample.FromString(message).SerializeToString(deterministic=True)
        assert file.getvalue() == frame_record(again)


# Sizes around those where a length within the message takes one more byte.
@pytest.mark.parametrize("size", [0, 118, 119, 121, 122, 125, 127, 128, 16375, 16380, 16384, 2**21])
def test_lengths_within_a_message_are_those_of_protobuf(make_record: MakeRecord, size: int) -> None:
    message = encode_sequence_example(make_record(2, rgb=(bytes(size), bytes(size + 1))))
    again = SequenceExample.FromString(message)
    assert again.SerializeToString(deterministic=True) == message
    features = again.feature_lists.feature_list["image/encoded"].feature
    assert [len(each.bytes_list.value[0]) for each in features] == [size, size + 1]


def test_parquet_has_the_bytes_of_a_table_in_memory(
    records: list[ClipRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sum(record.num_image_bytes for record in records[:3])
    monkeypatch.setattr(shard_writer, "ROW_GROUP_BYTES", first)  # 3 rows, 1, 1
    written = parquet_bytes([stored(records[0], tmp_path), *records[1:]], tmp_path)
    assert written == plain_parquet_bytes([records[:3], records[3:4], records[4:]])
    table = pq.read_table(io.BytesIO(written))
    assert table.to_pylist() == [to_parquet_row(record) for record in records]


def test_no_file_is_left_and_an_error_is_not_hidden(
    make_record: MakeRecord, tmp_path: Path
) -> None:
    record = make_record()
    lost = replace(record, flow_x=stored(record, tmp_path).flow_x)
    (tmp_path / "flow_x").unlink()
    folder = tmp_path / "temporary"
    folder.mkdir()
    shard = ParquetShard(io.BytesIO(), LABELS, folder)
    shard.write(record)
    assert not list(folder.iterdir()), "a file without a name outlives no process"
    with pytest.raises(FileNotFoundError), closing(shard):
        shard.write(lost)


@contextmanager
def measured_memory() -> Iterator[Callable[[], int]]:
    """Gives the most bytes that Python's and Arrow's allocators held at a time since."""
    default = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(default)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1] + (pool.max_memory() or 0)
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(default)


@pytest.mark.parametrize(("kind", "most_streams"), [("tfrecord", 0.5), ("parquet", 1.5)])
def test_long_clip_is_written_in_a_fraction_of_its_size(
    make_record: MakeRecord, tmp_path: Path, kind: str, most_streams: float
) -> None:
    num_frames, size = 1000, 16384
    images = {name: (bytes(size),) * num_frames for name in STREAMS}
    record = stored(make_record(num_frames, poses=None, **images), tmp_path)
    parquet_bytes([make_record()], tmp_path)  # what is imported late
    is_parquet = kind == "parquet"
    with (tmp_path / "shard").open("wb") as file, measured_memory() as most_bytes:
        shard = ParquetShard(file, LABELS, tmp_path) if is_parquet else TFRecordShard(file)
        with closing(shard):
            shard.write(record)
        assert most_bytes() < most_streams * num_frames * size
    num_streams = 4 if is_parquet else 3
    assert (tmp_path / "shard").stat().st_size > num_streams * num_frames * size
