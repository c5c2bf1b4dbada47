"""Any record of a shard, with any of its streams and frames, equals what reading it all gives."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas import shard_writer
from schemas.clip_record import ClipRecord
from schemas.errors import ShardError
from schemas.labels import LabelMap
from schemas.parquet_rows import parquet_schema, to_parquet_row
from schemas.pose_sequence import PoseSequence
from schemas.sequence_example import encode_sequence_example
from schemas.shard_reader import open_shard, read_shard
from schemas.shard_writer import ParquetShard, TFRecordShard
from schemas.tfrecord import frame_record

KINDS = ("x.tfrecord-00000-of-00001", "x-00000-of-00001.parquet", "own-00000-of-00001.parquet")
STREAMS = ("rgb", "pose_overlay", "flow", "poses")


@pytest.fixture
def records(make_record: Callable[..., ClipRecord]) -> list[ClipRecord]:
    return [make_record(num_frames=4 + index, clip_id=f"clip{index}") for index in range(5)]


@pytest.fixture(params=KINDS)
def shard(
    request: pytest.FixtureRequest,
    records: list[ClipRecord],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """All records in a shard; Parquet in row groups of two, as Arrow or as a build writes it."""
    path = tmp_path / request.param
    if path.name.startswith("own"):
        monkeypatch.setattr(shard_writer, "ROW_GROUP_BYTES", 2 * records[0].num_image_bytes)
        with path.open("wb") as file:
            writer = ParquetShard(file, LabelMap(()))
            for record in records:
                writer.write(record)
            writer.close()
    elif path.suffix == ".parquet":
        rows = [to_parquet_row(record) for record in records]
        schema = parquet_schema(LabelMap(()))
        table = pa.Table.from_pylist(rows, schema=schema)
        pq.write_table(table, path, row_group_size=2, write_page_checksum=True)
    else:
        path.write_bytes(b"".join(frame_record(encode_sequence_example(r)) for r in records))
    return path


def _absent(shard: Path) -> tuple[str, ...]:
    return ("flow",) if shard.suffix == ".parquet" else ("flow_x", "flow_y")


def test_every_record_equals_the_one_read_in_order(
    shard: Path, assert_same_record: Callable[..., None]
) -> None:
    reader = open_shard(shard)
    with shard.open("rb") as file:
        in_order = list(read_shard(file, name=shard.name))
    assert len(reader) == len(in_order) == 5
    for index in (4, 0, 3, 3, 1, 2):
        assert_same_record(reader.read(index, streams=STREAMS), in_order[index])


def test_frames_come_in_the_order_asked_for(
    shard: Path, records: list[ClipRecord], assert_same_record: Callable[..., None]
) -> None:
    frames = [5, 1, 1, 3]
    whole, poses = records[2], records[2].poses
    assert poses is not None
    chosen = {name: getattr(poses, name)[frames] for name in PoseSequence.__dataclass_fields__}
    expected = replace(
        whole,
        **{
            name: tuple(getattr(whole, name)[t] for t in frames)
            for name in ("rgb", "pose_overlay", "flow", "flow_x", "flow_y")
        },
        **{
            name: getattr(whole, name)[frames]
            for name in ("timestamps_us", "source_indices", "source_timestamps_us")
        },
        poses=None,
    )
    got = open_shard(shard).read(2, streams=STREAMS, frames=frames)
    assert_same_record(replace(got, poses=None), expected, but=_absent(shard))
    assert got.poses is not None
    slots = got.poses.track_ids.shape[1]  # no more than these frames need
    for name, values in chosen.items():
        np.testing.assert_array_equal(getattr(got.poses, name), values[:, :slots])
        assert not (chosen["track_ids"][:, slots:] >= 0).any()


@pytest.mark.parametrize("stream", STREAMS)
def test_only_the_streams_asked_for_are_present(shard: Path, stream: str) -> None:
    record = open_shard(shard).read(1, streams=[stream])
    present = record.stream_lengths().keys() - {"source_indices", "source_timestamps_us"}
    flow = {"flow_x", "flow_y"} if shard.suffix == ".parquet" else {"flow"}
    assert present == (flow if stream == "flow" else {stream})


@pytest.mark.parametrize("frames", [[4], [-1], [0, 99]])
def test_frame_that_the_clip_lacks_is_refused(shard: Path, frames: list[int]) -> None:
    with pytest.raises(ShardError, match=r"must have the frames -?\d+ to -?\d+, got 4 frames"):
        open_shard(shard).read(0, streams=["rgb"], frames=frames)


def test_record_that_the_shard_lacks_is_refused(shard: Path) -> None:
    with pytest.raises(ShardError, match=r"must have a record 5, got 5 records"):
        open_shard(shard).read(5, streams=["rgb"])


def test_missing_shard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="shard must exist, got no file"):
        open_shard(tmp_path / "gone.parquet")


def test_damage_of_one_record_leaves_the_others_readable(shard: Path) -> None:
    data = bytearray(shard.read_bytes())
    data[data.index(b"rgb 7")] ^= 1  # only the last record has a frame 7
    shard.write_bytes(data)
    reader = open_shard(shard)
    with pytest.raises(ShardError):
        reader.read(4, streams=["rgb"])
    assert reader.read(1, streams=["rgb"]).clip_id == "clip1"


def test_only_a_tfrecord_that_was_verified_is_not_verified_again(shard: Path) -> None:
    data = bytearray(shard.read_bytes())
    data[data.index(b"rgb 7")] ^= 1
    shard.write_bytes(data)
    reader = open_shard(shard)
    if shard.suffix == ".parquet":
        with pytest.raises(ShardError, match="checksum"):
            reader.read(4, streams=["rgb"], is_verified=True)
    else:
        record = reader.read(4, streams=["rgb"], is_verified=True)
        assert bytes([ord("r") ^ 1]) + b"gb 7" in record.rgb[7]


def test_file_cut_in_a_header_is_refused(records: list[ClipRecord], tmp_path: Path) -> None:
    path = tmp_path / KINDS[0]
    path.write_bytes(frame_record(encode_sequence_example(records[0])) + b"\x01\x02")
    with pytest.raises(ShardError, match=r"record 1 of .* must be complete, got 2 bytes"):
        open_shard(path)


def test_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / KINDS[1]
    path.write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(ShardError, match=r"must be a Parquet file, got"):
        open_shard(path)


def test_images_of_a_build_are_read_without_their_column(
    records: list[ClipRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / KINDS[2]
    with path.open("wb") as file:
        writer = ParquetShard(file, LabelMap(()))
        for record in records:
            writer.write(record)
        writer.close()
    reader = open_shard(path)
    columns: list[str] = []
    read = pq.ParquetFile.read_row_group

    def spy(self: pq.ParquetFile, group: int, **options: object) -> pa.Table:
        columns.extend(options["columns"])  # type: ignore[call-overload]
        return read(self, group, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", spy)
    got = reader.read(3, streams=["rgb", "flow"], frames=[6, 0])
    assert got.rgb == (records[3].rgb[6], records[3].rgb[0])
    assert got.flow_y == (records[3].flow_y[6], records[3].flow_y[0])
    assert "num_frames" in columns
    assert not {"rgb", "flow_x", "flow_y"} & set(columns)


def test_clips_without_a_stream_among_others_are_read(
    records: list[ClipRecord], tmp_path: Path
) -> None:
    path = tmp_path / KINDS[2]
    mixed = [records[0], replace(records[1], pose_overlay=()), records[2]]
    with path.open("wb") as file:
        writer = ParquetShard(file, LabelMap(()))
        for record in mixed:
            writer.write(record)
        writer.close()
    reader = open_shard(path)
    for index, record in enumerate(mixed):
        assert (
            reader.read(index, streams=["pose_overlay", "rgb"]).pose_overlay == record.pose_overlay
        )


@pytest.mark.parametrize(
    "damage", [b"\x0b", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x0a\x7f"]
)
def test_record_of_other_bytes_is_refused(
    records: list[ClipRecord], tmp_path: Path, damage: bytes
) -> None:
    path = tmp_path / KINDS[0]
    path.write_bytes(frame_record(encode_sequence_example(records[0]) + damage))
    with pytest.raises(ShardError, match="record must be a SequenceExample, got other bytes"):
        open_shard(path).read(0, streams=["rgb"])


@pytest.mark.parametrize("name", [KINDS[0], KINDS[2]])
def test_frames_of_pa_are_read_alone(
    name: str, make_record: Callable[..., ClipRecord], tmp_path: Path
) -> None:
    images = tuple(f"pa {t}".encode() for t in range(4))
    record = make_record(4, pa=images, pa_bound=0.25)
    path = tmp_path / name
    with path.open("wb") as file:
        is_parquet = path.suffix == ".parquet"
        writer = (
            ParquetShard(file, LabelMap(()), has_pa=True) if is_parquet else TFRecordShard(file)
        )
        writer.write(record)
        writer.close()
    part = open_shard(path).read(0, streams=["pa"], frames=[2, 0])
    assert (part.pa, part.pa_bound, part.rgb) == ((images[2], images[0]), 0.25, ())
    assert open_shard(path).read(0, streams=["rgb"]).pa == ()


def test_pa_of_a_shard_without_it_is_absent(shard: Path, records: list[ClipRecord]) -> None:
    part = open_shard(shard).read(0, streams=["rgb", "pa"])
    assert (part.pa, part.rgb) == ((), records[0].rgb)
