"""A record holds streams of one length."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schemas.clip_record import ClipRecord
from schemas.errors import RecordError
from schemas.outcome import Outcome
from schemas.pose_sequence import empty_pose_sequence

MakeRecord = Callable[..., ClipRecord]


@pytest.mark.parametrize(
    ("changes", "length"),
    [
        ({"rgb": (b"1", b"2")}, "'rgb': 2"),
        ({"pose_overlay": (b"1",) * 4}, "'pose_overlay': 4"),
        ({"flow": (b"1",) * 2}, "'flow': 2"),
        ({"pa": (b"1",) * 2}, "'pa': 2"),
        ({"flow_x": (b"1",) * 2}, "'flow_x': 2"),
        ({"flow_y": (b"1",) * 2}, "'flow_y': 2"),
        ({"source_indices": np.arange(2)}, "'source_indices': 2"),
        ({"source_timestamps_us": np.arange(4)}, "'source_timestamps_us': 4"),
        ({"poses": empty_pose_sequence(2)}, "'poses': 2"),
    ],
)
def test_streams_of_unequal_length_fail(
    changes: dict[str, Any], length: str, make_record: MakeRecord
) -> None:
    with pytest.raises(RecordError) as caught:
        make_record(3, **changes)
    error = caught.value
    assert (error.clip_id, error.outcome) == ("clip_000001_000011", Outcome.FAILED)
    rule = "all streams must have the clip's 3 frames (at least 1), got {"
    assert error.detail.startswith(rule)
    assert length in error.detail


def test_record_without_frames_fails(make_record: MakeRecord) -> None:
    with pytest.raises(RecordError, match=r"the clip's 0 frames \(at least 1\), got"):
        make_record(0, poses=None)


def test_absent_streams_have_no_length(make_record: MakeRecord) -> None:
    record = make_record(rgb=(), poses=None)
    assert set(record.stream_lengths()) == {
        *("pose_overlay", "flow", "flow_x", "flow_y"),
        *("source_indices", "source_timestamps_us"),
    }


def test_image_bytes_count_every_stream(make_record: MakeRecord) -> None:
    images = {"rgb": (b"1", b"22"), "pose_overlay": (b"",) * 2, "flow": (b"333",) * 2}
    record = make_record(2, **images, flow_x=(b"4",) * 2, flow_y=())
    assert record.num_image_bytes == 3 + 6 + 2
