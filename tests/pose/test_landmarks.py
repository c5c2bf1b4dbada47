import numpy as np
import pytest

from pose.landmarks import COCO_FROM_LANDMARKS, poses_from_landmarks, poses_with_boxes
from schemas.skeleton import KEYPOINT_NAMES

LANDMARK_NAMES = {
    0: "nose", 2: "left_eye", 5: "right_eye", 7: "left_ear", 8: "right_ear",
    11: "left_shoulder", 12: "right_shoulder", 13: "left_elbow", 14: "right_elbow",
    15: "left_wrist", 16: "right_wrist", 23: "left_hip", 24: "right_hip",
    25: "left_knee", 26: "right_knee", 27: "left_ankle", 28: "right_ankle",
}  # fmt: skip


def landmarks(people: int = 1) -> np.ndarray:
    values = np.random.default_rng(0).random((people, 33, 4)).astype(np.float32)
    values[..., 2:] = 0.9
    return values


def test_every_landmark_becomes_the_keypoint_of_its_name() -> None:
    assert tuple(LANDMARK_NAMES[index] for index in COCO_FROM_LANDMARKS) == KEYPOINT_NAMES


def test_left_and_right_stay_on_their_sides() -> None:
    values = landmarks()
    values[0, 11, :2], values[0, 12, :2] = (0.7, 0.3), (0.2, 0.3)
    poses = poses_from_landmarks(values, width=100, height=100)
    assert poses.keypoints[0, 5, 0] == pytest.approx(69.5)
    assert poses.keypoints[0, 6, 0] == pytest.approx(19.5)


def test_the_centre_of_the_first_pixel_is_zero() -> None:
    values = landmarks()
    values[0, 0, :2] = (0.5 / 40, 0.5 / 20)
    poses = poses_from_landmarks(values, width=40, height=20)
    np.testing.assert_allclose(poses.keypoints[0, 0], [0, 0], atol=1e-6)


def test_a_keypoint_outside_of_the_image_has_score_zero() -> None:
    values = landmarks()
    values[0, 0, :2] = (1.01, 0.5)
    assert poses_from_landmarks(values, width=40, height=20).scores[0, 0] == 0


def test_a_keypoint_scores_visibility_times_presence() -> None:
    values = landmarks()
    values[0, 0, 2:] = (0.5, 0.4)
    assert poses_from_landmarks(values, width=9, height=9).scores[0, 0] == pytest.approx(0.2)


def test_half_a_person_scores_less_than_a_whole_one() -> None:
    whole = np.full((1, 17), 0.9, np.float32)
    half = whole.copy()
    half[0, 9:] = 0
    points = np.random.default_rng(1).random((1, 17, 2)).astype(np.float32) * 50
    scores = [
        float(poses_with_boxes(points, score, width=99, height=99).box_scores[0])
        for score in (whole, half)
    ]
    assert scores[0] == pytest.approx(0.9)
    assert scores[1] < 0.7


def test_boxes_hold_the_seen_keypoints_and_stay_in_the_image() -> None:
    poses = poses_from_landmarks(landmarks(5), width=64, height=48)
    for person in range(5):
        x0, y0, x1, y1 = poses.boxes[person]
        assert (poses.keypoints[person] >= (x0, y0)).all()
        assert (poses.keypoints[person] <= (x1, y1)).all()
        assert -0.5 <= x0 < x1 <= 63.5
        assert -0.5 <= y0 < y1 <= 47.5


def test_a_guessed_keypoint_does_not_stretch_the_box() -> None:
    points = np.full((1, 17, 2), 20, np.float32)
    points[0, 1:5] = 30
    points[0, 16] = 90
    scores = np.full((1, 17), 0.9, np.float32)
    scores[0, 16] = 0.1
    assert poses_with_boxes(points, scores, width=99, height=99).boxes[0, 2] == pytest.approx(31)


def test_no_people_give_no_poses() -> None:
    assert poses_from_landmarks(landmarks(0), width=9, height=9).num_people == 0


def test_landmarks_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"landmarks must be float32 \[P, L, C\] with L=33, C=4"):
        poses_from_landmarks(np.zeros((1, 32, 4), np.float32), width=9, height=9)
