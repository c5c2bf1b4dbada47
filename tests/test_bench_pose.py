"""The figures of benchmarks/bench_pose.py on poses whose figures are known."""

import numpy as np
import pytest

from benchmarks.bench_pose import brute_force_squares
from benchmarks.pose_figures import differing_people, id_changes, jitter
from schemas.pose_sequence import PoseSequence, empty_pose_sequence

SHAPE = np.random.default_rng(0).random((17, 2)) * 100


def walk(num_frames: int, *, step_px: float = 0.0) -> PoseSequence:
    """A person of 100 x 100 pixels who moves evenly."""
    poses = empty_pose_sequence(num_frames, 1)
    for frame in range(num_frames):
        poses.keypoints[frame, 0] = SHAPE + frame * step_px
        poses.boxes[frame, 0] = np.array([0, 0, 100, 100]) + frame * step_px
    poses.scores[:], poses.box_scores[:], poses.track_ids[:] = 0.9, 0.9, 4
    return poses


def test_an_even_walk_does_not_tremble() -> None:
    assert jitter(walk(5, step_px=7)) == pytest.approx(0, abs=1e-4)


def test_a_jump_of_one_pixel_is_two_per_cent_of_the_person() -> None:
    poses = walk(3)
    poses.keypoints[1, 0] += (1, 0)
    assert jitter(poses) == pytest.approx(2)


def test_keypoints_that_are_not_drawn_do_not_count() -> None:
    poses = walk(3)
    poses.keypoints[1, 0, 0] += 50
    poses.scores[:, 0, 0] = 0.2
    assert jitter(poses) == 0


def test_the_same_poses_do_not_differ() -> None:
    assert not differing_people(walk(4), walk(4)).any()


def test_people_who_are_missing_or_elsewhere_differ() -> None:
    poses = walk(4)
    poses.track_ids[1] = -1
    poses.keypoints[2] += 20
    assert differing_people(poses, walk(4)).tolist() == [False, True, True, False]


def test_a_new_id_in_the_same_place_is_a_change() -> None:
    poses = walk(6)
    poses.track_ids[3:] = 5
    assert id_changes(poses) == 1
    poses.boxes[3:] += 90
    assert id_changes(poses) == 0


@pytest.mark.parametrize(("width", "height"), [(341, 256), (455, 256), (144, 256)])
def test_brute_force_is_the_whole_frame_and_21_tiles_up_to_its_edges(
    width: int, height: int
) -> None:
    whole, *tiles = brute_force_squares(width=width, height=height)
    assert whole.side == max(width, height)
    assert len(set(tiles)) == 21
    for side in {tile.side for tile in tiles}:
        same = [tile for tile in tiles if tile.side == side]
        assert min(tile.left for tile in same) == min(tile.top for tile in same) == 0
        assert max(tile.left for tile in same) + side == width
        assert max(tile.top for tile in same) + side == height
