"""What the ledger says about a clip agrees with the record in the shard and with the file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.cli import main
from pipelines.finished_output import open_output
from video.fingerprint import hash_video
from video.jpeg import decode_jpeg

pytestmark = pytest.mark.slow


def test_facts_of_a_written_clip_are_those_of_its_record(built: Path, video_set: Path) -> None:
    output = open_output(str(built))
    for row in (row for row in output.ledger if row.is_in_shard):
        record = output.read_record(row.clip_id)
        assert record.poses is not None
        assert row.media_id == record.media_id
        assert row.video_hash == hash_video(video_set / "videos" / row.path)
        assert row.source_start_us == record.source_timestamps_us.min() == 0
        assert row.source_end_us == record.source_timestamps_us.max() == 440_000
        assert row.stream_bytes["flow"] > 0  # of the TFRecord; the Parquet record has the others
        for name in ("rgb", "pose_overlay", "flow_x", "flow_y"):
            assert row.stream_bytes[name] == sum(map(len, getattr(record, name)))
        assert sum(row.stream_bytes.values()) == row.record_bytes
        assert (row.pose_coverage, row.num_people, row.num_tracks) == (1.0, 1.0, 1)
        assert row.pose_score == pytest.approx(0.9, abs=1e-3)


def test_row_without_record_has_no_facts(built: Path) -> None:
    rows = {row.clip_id: row for row in open_output(str(built)).ledger}
    assert rows["broken"].media_id == "broken"
    for name in ("broken", "gone"):
        row = rows[name]
        assert (row.pose_coverage, row.flow_saturation, row.pose_score) == (None, None, None)
        assert (row.video_hash, row.record_bytes) == ("", 0)


def test_flow_saturation_is_the_share_of_vectors_at_the_bound(
    build_arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    """The stored images say the same, up to what JPEG of quality 100 changes."""
    options = ("--flow.bound-px", "1", "--jpeg.flow-quality", "100", "--formats", "parquet")
    assert main(build_arguments(tmp_path / "out", "--modalities", "flow", *options)) == 0
    output = open_output(str(tmp_path / "out"))
    for row in (row for row in output.ledger if row.is_in_shard):
        record = output.read_record(row.clip_id)
        last = record.num_frames - 1  # repeats its predecessor
        codes = np.stack(
            [
                [decode_jpeg(image) for image in axis[:last]]
                for axis in (record.flow_x, record.flow_y)
            ]
        )
        share = ((codes <= 1) | (codes >= 254)).any(axis=0).mean()
        assert row.flow_saturation == pytest.approx(share, abs=0.02)
        assert row.flow_saturation is not None
        assert row.flow_saturation > 0.02
        assert row.pose_coverage is None
