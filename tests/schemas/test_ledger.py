"""The ledger: one row for every annotation row."""

import io
import json
from dataclasses import replace

import duckdb
import pyarrow.parquet as pq
import pytest

from schemas.ledger import (
    STAGES,
    STREAMS,
    LedgerRow,
    count_outcomes,
    from_plain,
    read_ledger,
    to_plain,
    write_ledger,
)
from schemas.outcome import Outcome

FULL = LedgerRow(
    clip_id="名前_1",
    outcome=Outcome.TRUNCATED,
    detail="129 frames decoded of 141 declared",
    source="val.csv:2",
    path="val/é.mp4",
    label_text="play golf",
    media_id="名前",
    shard=3,
    num_frames=108,
    decoded_frames=129,
    declared_frames=141,
    num_people=1.5,
    num_tracks=2,
    pose_coverage=0.75,
    pose_score=0.5,
    flow_saturation=0.125,
    video_hash="0f" * 16,
    source_start_us=10_000_000,
    source_end_us=2**40,
    record_bytes=2**40,
    stream_bytes={stream: 2**38 + index for index, stream in enumerate(STREAMS)},
    seconds={stage: 0.25 * index for index, stage in enumerate(STAGES)},
)
SHORT = LedgerRow(clip_id="b", outcome=Outcome.MISSING)


def write(rows: list[LedgerRow]) -> io.BytesIO:
    file = io.BytesIO()
    write_ledger(rows, file)
    file.seek(0)
    return file


def test_rows_come_back() -> None:
    short = replace(
        SHORT, seconds=dict.fromkeys(STAGES, 0.0), stream_bytes=dict.fromkeys(STREAMS, 0)
    )
    assert read_ledger(write([FULL, SHORT])) == [short, FULL]


def test_no_rows_come_back() -> None:
    assert read_ledger(write([])) == []


def test_rows_are_ordered_by_clip_and_source() -> None:
    rows = [replace(SHORT, clip_id=c, source=s) for c, s in ("b2", "a9", "b1", "a1")]
    back = read_ledger(write(rows))
    assert [(row.clip_id, row.source) for row in back] == [
        ("a", "1"),
        ("a", "9"),
        ("b", "1"),
        ("b", "2"),
    ]
    assert write(rows).getvalue() == write(rows[::-1]).getvalue()


@pytest.mark.parametrize("outcome", list(Outcome))
def test_plain_form_is_json_and_comes_back(outcome: Outcome) -> None:
    row = replace(FULL, outcome=outcome)
    plain = json.loads(json.dumps(to_plain(row)))
    assert plain["outcome"] == outcome.value
    assert from_plain(plain) == row


def test_row_that_an_older_version_left_in_done_json_is_read() -> None:
    old = {name: value for name, value in to_plain(FULL).items() if name != "pose_coverage"}
    assert from_plain(old) == replace(FULL, pose_coverage=None)


def test_counts_are_by_outcome_without_zeros() -> None:
    rows = [FULL, SHORT, SHORT, replace(FULL, outcome=Outcome.WRITTEN)]
    assert count_outcomes(rows) == {"written": 1, "truncated": 1, "missing": 2}
    assert count_outcomes([]) == {}


def test_sql_reads_the_ledger(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.parquet"
    path.write_bytes(write([FULL, SHORT, SHORT]).getvalue())
    query = f"select outcome, count(*) from '{path}' group by outcome order by outcome"
    with duckdb.connect() as connection:
        assert connection.execute(query).fetchall() == [("missing", 2), ("truncated", 1)]


def test_ledger_of_a_version_without_pa_is_readable() -> None:
    table = pq.read_table(write([FULL])).drop_columns(["pa_bytes", "pa_seconds"])
    file = io.BytesIO()
    pq.write_table(table, file)
    file.seek(0)
    (row,) = read_ledger(file)
    seconds, sizes = {**FULL.seconds, "pa": 0.0}, {**FULL.stream_bytes, "pa": 0}
    assert row == replace(FULL, seconds=seconds, stream_bytes=sizes)
