"""The ledger: one row for every annotation row, with its outcome."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.outcome import Outcome

STAGES = ("decode", "flow", "pa", "pose", "render", "encode")
"""Stages whose seconds the ledger keeps, in the order in which data flows."""

STREAMS = ("rgb", "pose_overlay", "flow", "flow_x", "flow_y", "pa")
"""Image streams whose bytes the ledger keeps, named as in `ClipRecord`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerRow:
    """What became of one annotation row."""

    clip_id: str
    outcome: Outcome
    detail: str = ""
    """Why, for a person; "" where there is nothing to say."""
    source: str = ""
    """`file:line` of the annotation row."""
    path: str = ""
    """Video below the video folder; "" if none was found."""
    label_text: str = ""
    media_id: str = ""
    """YouTube id, or the file stem where there is none; "" for a rejected row."""
    shard: int = -1
    """Shard that holds the clip; -1 if none does."""
    num_frames: int = 0
    """Frames written."""
    decoded_frames: int = 0
    """Source frames decoded."""
    declared_frames: int = 0
    """Source frames the container claims; 0 = it claims none."""
    num_people: float = 0.0
    """People per frame, mean."""
    num_tracks: int = 0
    """Different people that were followed through the clip."""
    pose_coverage: float | None = None
    """Share of the frames with a person in it; None without poses."""
    pose_score: float | None = None
    """Mean score of the detected keypoints; None if there is none."""
    flow_saturation: float | None = None
    """Share of the flow vectors that reach the bound; None without flow."""
    video_hash: str = ""
    """`hash_video` of the file; "" if no frame of it was stored."""
    source_start_us: int = 0
    """Presentation time of the first source frame used, in its file."""
    source_end_us: int = 0
    """Presentation time of the last source frame used, in its file."""
    record_bytes: int = 0
    """Encoded images of the clip."""
    stream_bytes: dict[str, int] = field(default_factory=dict)
    """The same by stream (`STREAMS`)."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall-clock seconds by stage."""

    @property
    def is_in_shard(self) -> bool:
        """Whether a shard holds the clip; a truncated one is left out of it if strict."""
        return self.shard >= 0


def to_plain(row: LedgerRow) -> dict[str, Any]:
    """Return the row as JSON-ready values."""
    return {**asdict(row), "outcome": row.outcome.value}


def from_plain(values: dict[str, Any]) -> LedgerRow:
    """Return the row that `to_plain` gave."""
    return LedgerRow(**{**values, "outcome": Outcome(values["outcome"])})


_SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("outcome", pa.string()),
        ("detail", pa.string()),
        ("source", pa.string()),
        ("path", pa.string()),
        ("label_text", pa.string()),
        ("media_id", pa.string()),
        ("shard", pa.int32()),
        ("num_frames", pa.int32()),
        ("decoded_frames", pa.int32()),
        ("declared_frames", pa.int64()),
        ("num_people", pa.float32()),
        ("num_tracks", pa.int32()),
        ("pose_coverage", pa.float32()),
        ("pose_score", pa.float32()),
        ("flow_saturation", pa.float32()),
        ("video_hash", pa.string()),
        ("source_start_us", pa.int64()),
        ("source_end_us", pa.int64()),
        ("record_bytes", pa.int64()),
        *((f"{stream}_bytes", pa.int64()) for stream in STREAMS),
        *((f"{stage}_seconds", pa.float32()) for stage in STAGES),
    ]
)

_BATCH_ROWS = 10_000


def write_ledger(rows: list[LedgerRow], file: BinaryIO) -> None:
    """Write rows as Parquet, ordered by clip id and source.

    Args:
        rows: One for every annotation row.
        file: Open for writing in binary.
    """
    plain = []
    for row in sorted(rows, key=lambda row: (row.clip_id, row.source)):
        values = to_plain(row)
        seconds = values.pop("seconds")
        values.update({f"{stage}_seconds": seconds.get(stage, 0.0) for stage in STAGES})
        sizes = values.pop("stream_bytes")
        values.update({f"{stream}_bytes": sizes.get(stream, 0) for stream in STREAMS})
        plain.append(values)
    pq.write_table(pa.Table.from_pylist(plain, schema=_SCHEMA), file)


def read_ledger(file: BinaryIO) -> list[LedgerRow]:
    """Return the rows of a ledger that `write_ledger` wrote."""
    rows = []
    # From memory and without threads: an Arrow thread that still holds a Python file when the
    # interpreter ends aborts the process.
    table = pq.read_table(pa.BufferReader(file.read()), use_threads=False)
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):  # plain values are large
        for values in batch.to_pylist():
            # Ledgers of versions that knew no `pa` lack its columns.
            seconds = {stage: values.pop(f"{stage}_seconds", 0.0) for stage in STAGES}
            sizes = {stream: values.pop(f"{stream}_bytes", 0) for stream in STREAMS}
            rows.append(from_plain({**values, "seconds": seconds, "stream_bytes": sizes}))
    return rows


def count_outcomes(rows: Sequence[LedgerRow]) -> dict[str, int]:
    """Return the number of rows by outcome; outcomes without rows are left out."""
    counts: dict[str, int] = {}
    for outcome in Outcome:
        number = sum(row.outcome is outcome for row in rows)
        if number:
            counts[outcome.value] = number
    return counts
