"""Pose arrays: checks, counts, joining."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from schemas.pose_sequence import PoseSequence, empty_pose_sequence, join_pose_sequences

MakePoses = Callable[..., PoseSequence]


def test_empty_sequence_has_frames_and_no_people() -> None:
    poses = empty_pose_sequence(4, 2)
    assert poses.num_frames == 4
    assert poses.num_people.tolist() == [0, 0, 0, 0]
    assert poses.keypoints.shape == (4, 2, 17, 2)
    assert (poses.track_ids == -1).all()


def test_people_are_counted_by_track_id(make_poses: MakePoses) -> None:
    assert make_poses([0, 3, 1]).num_people.tolist() == [0, 3, 1]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "keypoints",
            np.zeros((2, 1, 16, 2), np.float32),
            r"^keypoints must be float32 .* T=2, P=1, K=17, C=2, got float32 \[2, 1, 16, 2\]$",
        ),
        ("keypoints", np.zeros((2, 1, 17, 2)), r"^keypoints must be .*, got float64"),
        ("scores", np.zeros((2, 2, 17), np.float32), r"^scores must be .*, got float32 \[2, 2, 17"),
        ("boxes", np.zeros((2, 1, 5), np.float32), r"^boxes must be .* C=4, got float32 \[2, 1, 5"),
        ("box_scores", np.zeros((3, 1), np.float32), r"^box_scores must be .*, got float32 \[3, 1"),
        ("track_ids", np.zeros((2, 1), np.int64), r"^track_ids must be int32 \[T, P\], got int64"),
        (
            "track_ids",
            np.zeros(2, np.int32),
            r"^track_ids must be int32 \[T, P\], got int32 \[2\]$",
        ),
    ],
)
def test_other_arrays_are_refused(name: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(empty_pose_sequence(2, 1), **{name: value})


def test_joined_windows_follow_each_other(make_poses: MakePoses) -> None:
    first, second = make_poses([1, 3], 1), make_poses([0, 2, 1], 2)
    joined = join_pose_sequences([first, second])
    assert joined.num_people.tolist() == [1, 3, 0, 2, 1]
    assert joined.track_ids.shape == (5, 3)
    np.testing.assert_array_equal(joined.keypoints[:2], first.keypoints)
    np.testing.assert_array_equal(joined.keypoints[2:, :2], second.keypoints)
    np.testing.assert_array_equal(joined.boxes[2:, :2], second.boxes)
    np.testing.assert_array_equal(joined.scores[2:, :2], second.scores)
    np.testing.assert_array_equal(joined.box_scores[2:, :2], second.box_scores)
    assert (joined.track_ids[2:, 2] == -1).all()
    assert not joined.keypoints[2:, 2].any()


def test_joining_copies(make_poses: MakePoses) -> None:
    window = make_poses([1])
    joined = join_pose_sequences([window])
    joined.keypoints[:] = 0
    assert window.keypoints.any()


def test_joining_nothing_is_refused() -> None:
    message = r"^windows must have at least one pose sequence, got 0$"
    with pytest.raises(ValueError, match=message):
        join_pose_sequences([])
