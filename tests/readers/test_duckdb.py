"""SQL over the Parquet shard."""

from typing import Any

import duckdb

COUNTS = """
    select clip_id, num_frames, len(rgb), len(pose_overlay), len(flow_x), len(flow_y),
           len(keypoints), len(boxes), len(track_ids), len(timestamps_us)
    from read_parquet(?) order by num_frames desc
"""


def query(sql: str, path: object) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        return connection.execute(sql, [str(path)]).fetchall()


def test_sql_sees_as_many_flow_and_pose_frames_as_rgb_frames(shards: Any) -> None:
    assert query(COUNTS, shards.parquet) == [
        ("clip_a", 3, *([3] * 8)),
        ("clip_é", 2, *([2] * 8)),
    ]


def test_sql_sees_labels_and_people(shards: Any) -> None:
    sql = """
        select label, label_text, [len(frame) for frame in track_ids]
        from read_parquet(?) order by clip_id
    """
    assert query(sql, shards.parquet) == [
        (1, "YoYo", [0, 1, 1]),
        (0, "ApplyEyeMakeup", [0, 1]),
    ]


def test_sql_gets_the_jpegs_byte_for_byte(shards: Any) -> None:
    sql = "select rgb[2].bytes, flow_x[1].bytes from read_parquet(?) order by clip_id"
    expected = [(record.rgb[1], record.flow_x[0]) for record in shards.records]
    assert query(sql, shards.parquet) == expected
