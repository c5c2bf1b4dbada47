from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from pose.estimator import FramePoses, empty_frame_poses, merge_frame_poses
from pose.landmarks import poses_with_boxes
from pose.track import Tracker, TrackerConfig, match_people
from schemas.errors import ConfigError


def person(x: float, y: float = 100, *, seed: int = 0, score: float = 0.9) -> FramePoses:
    offsets = np.random.default_rng(seed).random((17, 2)).astype(np.float32)
    points = offsets * np.array([50, 100], np.float32) + np.array([x, y], np.float32)
    scores = np.full((1, 17), score, np.float32)
    return poses_with_boxes(points[None], scores, width=2000, height=2000)


def ids_of(frames: Sequence[FramePoses], config: TrackerConfig) -> list[npt.NDArray[np.int32]]:
    tracker = Tracker(config)
    return [tracker.update(frame) for frame in frames]


def test_ids_start_at_zero_with_the_best_person() -> None:
    frame = merge_frame_poses([person(0, score=0.5), person(500, score=0.9)])
    assert ids_of([frame], TrackerConfig())[0].tolist() == [1, 0]


def test_a_walking_person_keeps_its_id() -> None:
    ids = ids_of([person(6 * t) for t in range(30)], TrackerConfig())
    assert [i.tolist() for i in ids] == [[0]] * 30


def test_people_who_cross_keep_their_ids() -> None:
    frames = [
        merge_frame_poses([person(8.0 * t, seed=1), person(240 - 8.0 * t, seed=2)])
        for t in range(31)
    ]
    assert [i.tolist() for i in ids_of(frames, TrackerConfig())] == [[0, 1]] * 31


def test_people_who_cross_keep_their_ids_whatever_the_order_of_detection() -> None:
    frames = [
        merge_frame_poses(
            [person(8.0 * t, seed=1), person(240 - 8.0 * t, seed=2)][:: 1 if t % 2 else -1]
        )
        for t in range(31)
    ]
    ids = ids_of(frames, TrackerConfig())
    assert {tuple(i.tolist()) for i in ids[1::2]} == {(1, 0)}
    assert {tuple(i.tolist()) for i in ids[::2]} == {(0, 1)}


def test_a_person_hidden_while_another_passes_comes_back_with_its_id() -> None:
    frames = []
    for t in range(31):
        walker, other = person(8.0 * t, seed=1), person(240 - 8.0 * t, seed=2)
        hidden = 14 <= t <= 16
        frames.append(walker if hidden else merge_frame_poses([walker, other]))
    ids = ids_of(frames, TrackerConfig())
    assert ids[-1].tolist() == [0, 1]


def test_a_person_missing_for_three_frames_keeps_its_id() -> None:
    seen = [person(5.0 * t) for t in range(20)]
    frames = [empty_frame_poses() if 8 <= t < 11 else pose for t, pose in enumerate(seen)]
    ids = ids_of(frames, TrackerConfig())
    assert {tuple(i.tolist()) for t, i in enumerate(ids) if not 8 <= t < 11} == {(0,)}


def test_a_person_missing_for_longer_than_allowed_gets_a_new_id() -> None:
    frames = [person(0), *[empty_frame_poses()] * 3, person(0)]
    ids = ids_of(frames, TrackerConfig(max_missed_frames=2))
    assert ids[-1].tolist() == [1]


def test_a_person_far_away_is_somebody_else() -> None:
    assert ids_of([person(0), person(900)], TrackerConfig())[1].tolist() == [1]


def test_the_most_similar_pair_is_matched_first() -> None:
    pairs = match_people(person(0), merge_frame_poses([person(12), person(1)]), min_similarity=0.2)
    assert pairs == {0: 1}


def test_frames_are_not_modified() -> None:
    frame = person(3)
    before = frame.keypoints.copy()
    ids_of([frame, frame], TrackerConfig())
    np.testing.assert_array_equal(frame.keypoints, before)


def test_a_similarity_outside_of_its_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="min_similarity must be over 0 and at most 1, got 0"):
        TrackerConfig(min_similarity=0)


def test_a_negative_number_of_missed_frames_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_missed_frames must be >= 0, got -1"):
        TrackerConfig(max_missed_frames=-1)
