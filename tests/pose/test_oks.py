import numpy as np
import pytest

from pose.estimator import FramePoses, merge_frame_poses
from pose.landmarks import poses_with_boxes
from pose.oks import box_iou_matrix, oks_matrix, suppress_duplicates
from schemas.errors import ConfigError
from schemas.skeleton import OKS_SIGMAS


def standing(x: float, y: float, *, score: float = 0.9, height: float = 100) -> FramePoses:
    offsets = np.random.default_rng(7).random((17, 2)).astype(np.float32)
    points = offsets * np.array([height / 2, height], np.float32) + np.array([x, y], np.float32)
    scores = np.full((1, 17), score, np.float32)
    return poses_with_boxes(points[None], scores, width=1000, height=1000)


def test_same_pose_has_similarity_one() -> None:
    pose = standing(10, 20)
    assert oks_matrix(pose, pose)[0, 0] == pytest.approx(1)


def test_similarity_follows_the_coco_formula() -> None:
    pose = standing(10, 20)
    moved = FramePoses(
        keypoints=pose.keypoints + np.float32(3),
        scores=pose.scores,
        boxes=pose.boxes,
        box_scores=pose.box_scores,
    )
    x0, y0, x1, y1 = (float(v) for v in pose.boxes[0])
    area = (x1 - x0) * (y1 - y0)
    expected = np.mean([np.exp(-18 / (2 * area * (2 * sigma) ** 2)) for sigma in OKS_SIGMAS])
    assert oks_matrix(pose, moved)[0, 0] == pytest.approx(expected, rel=1e-5)


def test_only_keypoints_that_both_have_count() -> None:
    pose = standing(10, 20)
    scores = pose.scores.copy()
    scores[0, 5:] = 0
    keypoints = pose.keypoints.copy()
    keypoints[0, 5:] = -500
    half = FramePoses(
        keypoints=keypoints, scores=scores, boxes=pose.boxes, box_scores=pose.box_scores
    )
    assert oks_matrix(pose, half)[0, 0] == pytest.approx(1)


def test_poses_without_a_common_keypoint_have_similarity_zero() -> None:
    pose = standing(10, 20)
    nothing = FramePoses(
        keypoints=pose.keypoints,
        scores=np.zeros_like(pose.scores),
        boxes=pose.boxes,
        box_scores=pose.box_scores,
    )
    assert oks_matrix(pose, nothing)[0, 0] == 0


def test_box_overlap_has_known_values() -> None:
    boxes = np.array([[0, 0, 2, 2], [5, 5, 5, 5]], np.float32)
    others = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]], np.float32)
    np.testing.assert_allclose(box_iou_matrix(boxes, others), [[1, 1 / 3, 0], [0, 0, 0]])


def test_the_best_pose_of_a_person_is_kept() -> None:
    found = merge_frame_poses([standing(10, 20, score=0.5), standing(11, 20, score=0.8)])
    kept = suppress_duplicates(found, threshold=0.5)
    assert kept.box_scores.tolist() == pytest.approx([0.8])


def test_different_people_are_kept_best_first() -> None:
    found = merge_frame_poses([standing(10, 20, score=0.5), standing(300, 20, score=0.8)])
    kept = suppress_duplicates(found, threshold=0.5)
    assert kept.box_scores.tolist() == pytest.approx([0.8, 0.5])


def test_no_people_stay_no_people() -> None:
    assert suppress_duplicates(merge_frame_poses([]), threshold=0.5).num_people == 0


@pytest.mark.parametrize("threshold", [0.0, 1.5])
def test_a_threshold_outside_of_its_range_is_refused(threshold: float) -> None:
    with pytest.raises(ConfigError, match=rf"over 0 and at most 1, got {threshold}"):
        suppress_duplicates(standing(0, 0), threshold=threshold)
