from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pose.smoothing import OneEuroConfig, SmoothedEstimator
from schemas.errors import ConfigError
from schemas.pose_sequence import PoseSequence, empty_pose_sequence, join_pose_sequences

SHAPE = np.random.default_rng(3).random((17, 2)) * 80


class Played:
    """Gives poses of one person that were made before."""

    def __init__(self, poses: PoseSequence) -> None:
        self.poses, self.start = poses, 0

    def estimate(self, frames: npt.NDArray[np.uint8], _indices: Any) -> PoseSequence:
        rows = slice(self.start, self.start + len(frames))
        self.start += len(frames)
        names = ("keypoints", "scores", "boxes", "box_scores", "track_ids")
        return PoseSequence(**{name: getattr(self.poses, name)[rows] for name in names})


def person(centres: npt.NDArray[np.float64], *, noise_px: float = 0.0) -> PoseSequence:
    """A person of 100 x 100 pixels at these centres [T, 2]."""
    poses = empty_pose_sequence(len(centres), 1)
    noise = noise_px * np.random.default_rng(4).standard_normal((len(centres), 17, 2))
    poses.keypoints[:, 0] = centres[:, None] + SHAPE + noise
    poses.scores[:] = poses.box_scores[:] = 0.9
    poses.boxes[:, 0, :2], poses.boxes[:, 0, 2:] = centres, centres + 100
    poses.track_ids[:] = 7
    return poses


def smooth(poses: PoseSequence, *cuts: int, indices: Any = None) -> PoseSequence:
    estimator = SmoothedEstimator(Played(poses), OneEuroConfig())
    frames = np.zeros((poses.num_frames, 4, 4, 3), np.uint8)
    indices = np.arange(poses.num_frames) if indices is None else np.array(indices)
    pieces = zip(np.split(frames, cuts), np.split(indices, cuts), strict=True)
    return join_pose_sequences([estimator.estimate(f, i) for f, i in pieces])


def trembling(poses: PoseSequence) -> float:
    return float(np.abs(np.diff(poses.keypoints[:, 0], 2, axis=0)).mean())


STILL, WALK = np.full((60, 2), 50.0), np.arange(60)[:, None] * [5.0, 1.0]


def test_a_person_at_rest_trembles_a_third_as_much() -> None:
    poses = person(STILL, noise_px=1.5)
    assert trembling(smooth(poses)) < trembling(poses) / 3


def test_a_walking_person_lags_less_than_one_frame_of_its_walk() -> None:
    poses = person(WALK)
    lag = np.linalg.norm(smooth(poses).keypoints - poses.keypoints, axis=-1)[20:]
    assert 0 < lag.max() < np.hypot(5, 1)


def test_exact_rest_stays_exact() -> None:
    poses = person(STILL)
    np.testing.assert_allclose(smooth(poses).keypoints, poses.keypoints, rtol=1e-6)


@pytest.mark.parametrize("cuts", [(1,), (10, 11, 40)])
def test_results_do_not_depend_on_where_windows_are_cut(cuts: tuple[int, ...]) -> None:
    poses = person(WALK, noise_px=1)
    np.testing.assert_array_equal(smooth(poses, *cuts).keypoints, smooth(poses).keypoints)


def test_a_keypoint_that_comes_back_starts_anew() -> None:
    poses = person(WALK)
    poses.scores[20:30, 0, 3] = 0
    smoothed = smooth(poses)
    np.testing.assert_array_equal(smoothed.keypoints[30, 0, 3], poses.keypoints[30, 0, 3])
    assert smoothed.scores[25, 0, 3] == 0


def test_another_person_starts_anew() -> None:
    poses = person(WALK)
    poses.track_ids[30:] = 8
    np.testing.assert_array_equal(smooth(poses).keypoints[30], poses.keypoints[30])


def test_a_repeated_source_frame_repeats_its_poses() -> None:
    poses = person(np.repeat(WALK[:30], 2, axis=0))
    smoothed = smooth(poses, indices=np.repeat(np.arange(30), 2))
    np.testing.assert_array_equal(smoothed.keypoints[::2], smoothed.keypoints[1::2])


def test_the_poses_of_the_other_estimator_stay_as_they_are() -> None:
    poses = person(WALK, noise_px=1)
    before = poses.keypoints.copy()
    smooth(poses)
    np.testing.assert_array_equal(poses.keypoints, before)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="cutoff must be over 0 and at most 1, got 0"):
        OneEuroConfig(cutoff=0)
    with pytest.raises(ConfigError, match="speed_weight must be >= 0, got -1"):
        OneEuroConfig(speed_weight=-1)
