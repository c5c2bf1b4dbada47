from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pose.gap_filling import GapFiller
from schemas.pose_sequence import PoseSequence, empty_pose_sequence, join_pose_sequences

ARRAYS = ("keypoints", "scores", "boxes", "box_scores", "track_ids")
SHAPE = np.random.default_rng(5).random((17, 2)).astype(np.float32) * 80


def walkers(*tracks: tuple[int, set[int]], num_frames: int = 20) -> PoseSequence:
    """People (id, frames in which they are lost) who move by (8, 4) pixels per frame."""
    poses = empty_pose_sequence(num_frames, len(tracks))
    for t in range(num_frames):
        there = [track for track, lost in tracks if t not in lost]
        for slot, track in enumerate(there):
            corner = np.array([100 * track + 8 * t, 4 * t], np.float32)
            poses.keypoints[t, slot] = corner + SHAPE
            poses.scores[t, slot] = 0.8
            poses.boxes[t, slot] = *corner, *(corner + 80)
            poses.box_scores[t, slot] = 0.9 - 0.1 * slot
            poses.track_ids[t, slot] = track
    return poses


def fill(
    poses: PoseSequence, *cuts: int, most_frames: int = 4, most_people: int = 9, indices: Any = None
) -> PoseSequence:
    filler = GapFiller(most_frames=most_frames, most_people=most_people)
    indices = np.arange(poses.num_frames) if indices is None else np.array(indices)
    pieces = []
    for rows in np.split(np.arange(poses.num_frames), cuts):
        window = PoseSequence(**{name: getattr(poses, name)[rows] for name in ARRAYS})
        pieces.append(filler.add(window, indices[rows]))
    return join_pose_sequences([*pieces, filler.finish()])


def place(poses: PoseSequence, track: int, frame: int) -> npt.NDArray[np.float32]:
    (slot,) = np.flatnonzero(poses.track_ids[frame] == track)
    keypoints: npt.NDArray[np.float32] = poses.keypoints[frame, slot]
    return keypoints


def test_a_lost_person_moves_evenly_through_the_gap() -> None:
    filled, whole = fill(walkers((0, set()), (1, {7, 8, 9, 10}))), walkers((0, set()), (1, set()))
    for frame in range(20):
        for track in (0, 1):
            expected = place(whole, track, frame)
            np.testing.assert_allclose(place(filled, track, frame), expected, atol=1e-3)
    np.testing.assert_allclose(filled.boxes, whole.boxes, atol=1e-3)


def test_filled_people_and_only_those_are_flagged() -> None:
    filled = fill(walkers((0, set()), (1, {7, 8, 9, 10})))
    assert np.flatnonzero(filled.is_filled.any(axis=1)).tolist() == [7, 8, 9, 10]
    assert filled.track_ids[filled.is_filled].tolist() == [1] * 4
    assert not filled.box_scores[filled.is_filled].any()


def test_nothing_else_changes() -> None:
    poses = walkers((0, {3}), (1, {7, 8, 9, 10}))
    filled = fill(poses)
    for frame in range(poses.num_frames):
        here, found = poses.track_ids[frame] >= 0, ~filled.is_filled[frame]
        found &= filled.track_ids[frame] >= 0
        for name in ARRAYS:
            before, after = getattr(poses, name)[frame, here], getattr(filled, name)[frame, found]
            np.testing.assert_array_equal(before, after)


def test_a_longer_gap_and_open_ends_stay_empty() -> None:
    poses = walkers((0, set()), (1, {0, 1, 7, 8, 9, 10, 11, 18, 19}))
    assert not fill(poses).is_filled.any()
    assert fill(poses, most_frames=5).is_filled.sum() == 5


@pytest.mark.parametrize("cuts", [(1,), (8,), (3, 9, 10, 11), tuple(range(1, 20))])
def test_results_do_not_depend_on_where_windows_are_cut(cuts: tuple[int, ...]) -> None:
    poses = walkers((0, {2, 3, 8}), (1, {7, 8, 9, 10, 13}))
    whole, pieces = fill(poses), fill(poses, *cuts)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(whole, name), getattr(pieces, name))


def test_no_more_frames_wait_than_a_gap_may_have() -> None:
    filler, poses = GapFiller(most_frames=3, most_people=9), walkers((0, set()))
    assert filler.add(poses, np.arange(20)).num_frames == 17
    assert filler.finish().num_frames == 3
    assert filler.finish().num_frames == 0


def test_a_repeated_source_frame_repeats_its_filled_pose() -> None:
    filled = fill(walkers((0, {5, 6, 7, 8})), indices=[*range(5), 5, 5, 6, 6, *range(7, 18)])
    np.testing.assert_array_equal(place(filled, 0, 5), place(filled, 0, 6))
    step = (place(filled, 0, 9) - place(filled, 0, 4)) / 3
    np.testing.assert_allclose(place(filled, 0, 7) - place(filled, 0, 5), step, atol=1e-3)


def test_a_keypoint_is_as_sure_as_at_the_less_sure_end() -> None:
    poses = walkers((0, {5}))
    poses.scores[4, 0, 3], poses.scores[6, 0, 3] = 0.2, 0.7
    poses.scores[4, 0, 2] = 0
    filled = fill(poses)
    assert filled.scores[5, 0, [3, 2, 1]].tolist() == pytest.approx([0.2, 0, 0.8])


def test_nobody_is_filled_in_where_somebody_was_found() -> None:
    whole, poses = walkers((1, set())), walkers((1, {7, 8, 9, 10}))
    for t in (8, 9):  # the same person under another id
        for name in ARRAYS:
            getattr(poses, name)[t] = getattr(whole, name)[t]
        poses.track_ids[t] = 5
    filled = fill(poses)
    assert filled.num_people.tolist() == [1] * 20
    assert filled.track_ids[6:12, 0].tolist() == [1, 1, 5, 5, 1, 1]


def test_nobody_is_filled_into_a_full_frame() -> None:
    poses = walkers((0, set()), (1, {7}), (2, set()))
    assert fill(poses, most_people=3).is_filled.sum() == 1
    assert not fill(poses, most_people=2).is_filled.any()
