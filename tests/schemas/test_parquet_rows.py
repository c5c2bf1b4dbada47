"""ClipRecord to Parquet row and back; the schema that Hugging Face reads."""

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.clip_record import ClipRecord
from schemas.errors import RecordError
from schemas.labels import LabelMap
from schemas.parquet_rows import IMAGE_COLUMNS, from_parquet_row, parquet_schema, to_parquet_row
from schemas.pose_sequence import PoseSequence, empty_pose_sequence

MakeRecord = Callable[..., ClipRecord]
SameRecord = Callable[..., None]
LABELS = LabelMap(("abseiling", "play golf"))


def through_file(records: list[ClipRecord]) -> list[dict[str, Any]]:
    """Rows after a trip through a Parquet file."""
    schema = parquet_schema(LABELS)
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([to_parquet_row(r) for r in records], schema=schema), file)
    file.seek(0)
    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"poses": None, "pose_overlay": ()},
        {"flow_x": (), "flow_y": ()},
        {"rgb": ()},
        {"poses": empty_pose_sequence(3)},
        {"label_index": -1, "label_text": ""},
        {"clip_id": "名前_é#1", "media_id": "имя", "video_path": "a b/ü!.avi"},
        {"is_truncated": True},
        {"flow_bound_px": 32.0},
        {"timestamps_us": np.array([1, 2**40, 2**62])},
    ],
)
def test_record_comes_back_bit_by_bit(
    changes: dict[str, Any], make_record: MakeRecord, assert_same_record: SameRecord
) -> None:
    record = make_record(**{"flow": (), **changes})
    (row,) = through_file([record])
    assert_same_record(record, from_parquet_row(row))


def test_poses_of_many_clips_come_back(
    make_record: MakeRecord,
    make_poses: Callable[..., PoseSequence],
    assert_same_record: SameRecord,
) -> None:
    counts = ([0], [3, 0, 1], [0, 0], [2, 2, 2, 5])
    records = [
        make_record(len(people), flow=(), poses=make_poses(people, seed))
        for seed, people in enumerate(counts)
    ]
    for record, row in zip(records, through_file(records), strict=True):
        assert_same_record(record, from_parquet_row(row))


def test_colour_flow_is_not_stored(make_record: MakeRecord) -> None:
    (row,) = through_file([make_record()])
    assert from_parquet_row(row).flow == ()


def test_absent_streams_are_null(make_record: MakeRecord) -> None:
    absent = {"rgb": (), "pose_overlay": (), "flow_x": (), "flow_y": (), "poses": None}
    (row,) = through_file([make_record(**absent)])
    images = set(IMAGE_COLUMNS) - {"pa"}
    names = (*images, "flow_bound_px", "keypoints", "boxes", "track_ids")
    assert [row[name] for name in names] == [None] * len(names)


def test_keypoints_are_frames_by_people_by_51_and_boxes_by_5(make_record: MakeRecord) -> None:
    record = make_record()
    (row,) = through_file([record])
    assert [len(frame) for frame in row["keypoints"]] == [0, 1, 2]
    assert {len(person) for frame in row["keypoints"] for person in frame} == {51}
    assert {len(person) for frame in row["boxes"] for person in frame} == {5}
    assert record.poses is not None
    x, y, score = row["keypoints"][2][1][3:6]
    assert [x, y] == record.poses.keypoints[2, 1, 1].tolist()
    assert score == record.poses.scores[2, 1, 1]
    assert row["boxes"][2][1][4] == record.poses.box_scores[2, 1]


def test_row_has_exactly_the_columns_of_the_schema(make_record: MakeRecord) -> None:
    assert list(to_parquet_row(make_record())) == parquet_schema(LABELS).names


def test_columns_of_pa_are_there_only_where_it_is_stored(
    make_record: MakeRecord, assert_same_record: SameRecord
) -> None:
    plain, schema = parquet_schema(LABELS), parquet_schema(LABELS, has_pa=True)
    assert set(schema.names) - set(plain.names) == {"pa", "pa_bound"}
    assert schema.field("pa").type == schema.field("rgb").type
    record = make_record(flow=(), pa=(b"1", b"22", b"3"), pa_bound=0.25)
    assert list(to_parquet_row(record)) == schema.names
    (row,) = pa.Table.from_pylist([to_parquet_row(record)], schema=schema).to_pylist()
    assert_same_record(record, from_parquet_row(row))
    without = make_record(flow=())
    (row,) = pa.Table.from_pylist([to_parquet_row(without)], schema=schema).to_pylist()
    assert (row["pa"], row["pa_bound"]) == (None, None)
    assert_same_record(without, from_parquet_row(row))


def test_schema_names_the_classes_for_hugging_face() -> None:
    info = json.loads(parquet_schema(LABELS).metadata[b"huggingface"])
    features = info["info"]["features"]
    assert features["label"] == {"names": ["abseiling", "play golf"], "_type": "ClassLabel"}
    assert features["rgb"] == {"feature": {"_type": "Image"}, "_type": "List"}
    assert features["fps"] == {"dtype": "int32", "_type": "Value"}
    assert features["flow_bound_px"] == {"dtype": "float32", "_type": "Value"}


def test_label_of_no_classes_is_a_plain_number() -> None:
    info = json.loads(parquet_schema(LabelMap(())).metadata[b"huggingface"])
    assert info["info"]["features"]["label"] == {"dtype": "int64", "_type": "Value"}


def test_streams_of_unequal_length_are_refused(make_record: MakeRecord) -> None:
    (row,) = through_file([make_record()])
    row["flow_y"] = row["flow_y"][:2]
    with pytest.raises(RecordError, match=r"'flow_y': 2"):
        from_parquet_row(row)
