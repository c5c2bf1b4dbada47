import numpy as np
import pytest

from pose.estimator import (
    FramePoses,
    TrackedPoses,
    empty_frame_poses,
    stack_frames,
)
from schemas.pose_sequence import join_pose_sequences


def people(*box_scores: float) -> FramePoses:
    count = len(box_scores)
    return FramePoses(
        keypoints=np.arange(count * 34, dtype=np.float32).reshape(count, 17, 2),
        scores=np.full((count, 17), 0.5, np.float32),
        boxes=np.full((count, 4), 2, np.float32),
        box_scores=np.array(box_scores, np.float32),
    )


def tracked(poses: FramePoses, *ids: int) -> TrackedPoses:
    return TrackedPoses(poses=poses, track_ids=np.array(ids, np.int32))


def test_frame_poses_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"scores must be float32 \[P, K\] with P=1, K=17"):
        FramePoses(
            keypoints=np.zeros((1, 17, 2), np.float32),
            scores=np.zeros((2, 17), np.float32),
            boxes=np.zeros((1, 4), np.float32),
            box_scores=np.zeros(1, np.float32),
        )


def test_stacked_people_come_best_first_with_their_ids() -> None:
    sequence = stack_frames([tracked(people(0.2, 0.9), 4, 7)])
    assert sequence.track_ids.tolist() == [[7, 4]]
    np.testing.assert_array_equal(sequence.keypoints[0, 0], people(0.2, 0.9).keypoints[1])


def test_empty_slots_are_zero_with_id_minus_one() -> None:
    sequence = stack_frames([tracked(people(0.2, 0.9), 0, 1), tracked(empty_frame_poses())])
    assert sequence.track_ids[1].tolist() == [-1, -1]
    assert not sequence.keypoints[1].any()
    assert not sequence.boxes[1].any()


def test_no_frames_make_an_empty_sequence() -> None:
    assert stack_frames([]).keypoints.shape == (0, 0, 17, 2)


def test_concatenated_windows_equal_one_window() -> None:
    frames = [
        tracked(people(0.2), 0),
        tracked(empty_frame_poses()),
        tracked(people(0.2, 0.9), 0, 1),
    ]
    whole = stack_frames(frames)
    joined = join_pose_sequences([stack_frames(frames[:2]), stack_frames(frames[2:])])
    for name in ("keypoints", "scores", "boxes", "box_scores", "track_ids"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))
