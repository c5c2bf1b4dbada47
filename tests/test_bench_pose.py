"""The figures of benchmarks/bench_pose.py on poses whose figures are known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.bench_pose import fill_gaps, main, tables
from benchmarks.pose_figures import (
    box_tremble,
    differing_people,
    id_changes,
    jitter,
    people_there,
)
from benchmarks.pose_ways import Clip, brute_force_squares, run_in_turn, smoothed
from schemas.pose_sequence import PoseSequence, empty_pose_sequence

SHAPE = np.random.default_rng(0).random((17, 2)) * 100
FAST = {
    "frames_per_cpu_second": 20.0,
    "people_per_frame": 1.5,
    "found": 0.5,
    "right": 0.8,
    "jitter_percent": 3.0,
    "id_changes_per_1000_frames": 2.0,
}
FIGURES = {
    "scores": {"ap": 0.1, "ap50": 0.2, "ar": 0.3, "images_per_cpu_second": 4.0},
    "fast": FAST,
    "slow": {**FAST, "frames_per_cpu_second": 8.0, "found": 0.25},
    "smoothed_jitter_percent": 1.0,
    "filled_people_per_frame": 0.05,
}


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


def test_who_is_found_and_who_is_there() -> None:
    poses = walk(4)
    poses.track_ids[1] = -1
    poses.boxes[2] += 80
    found, right = people_there(poses, walk(4))
    assert found.tolist() == [True, False, False, True]
    assert right.tolist() == [True, False, True]


def test_boxes_that_move_evenly_do_not_tremble_and_random_ones_do_as_they_were_moved() -> None:
    assert box_tremble(walk(9, step_px=5)).max() == pytest.approx(0, abs=1e-9)
    poses = walk(400)
    poses.boxes[:] += np.random.default_rng(1).standard_normal(poses.boxes.shape).astype(np.float32)
    assert np.sqrt(box_tremble(poses).mean()) == pytest.approx(0.01, rel=0.1)


def clip(num_frames: int) -> Clip:
    return np.zeros((num_frames, 8, 8, 3), np.uint8), np.arange(num_frames)


def test_smoothed_poses_tremble_less() -> None:
    poses = walk(30)
    poses.keypoints[:] += np.random.default_rng(1).standard_normal(poses.keypoints.shape)
    assert jitter(smoothed(poses, clip(30))) < jitter(poses) / 2


def test_gaps_of_eight_frames_are_filled() -> None:
    poses = walk(30)
    poses.track_ids[5:13], poses.track_ids[15:24] = -1, -1
    assert fill_gaps(poses, clip(30)).is_filled.sum() == 8


def test_every_way_gets_every_clip_in_turn() -> None:
    calls: list[tuple[str, int]] = []

    def way(name: str) -> Any:
        def run(each: Clip) -> PoseSequence:
            calls.append((name, len(each[0])))
            return walk(len(each[0]))

        return run

    poses, seconds = run_in_turn({"a": way("a"), "b": way("b")}, [clip(3), clip(4)])
    assert calls == [("a", 1), ("b", 1), ("a", 3), ("b", 3), ("a", 4), ("b", 4)]
    assert [each.num_frames for each in poses["b"]] == [3, 4]
    assert seconds.keys() == {"a", "b"}


def test_figures_that_are_kept_are_printed_and_not_measured_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "figures.json"
    figures.write_text(json.dumps({"`mediapipe`": FIGURES}))
    places = ("--annotations", "none.json", "--images", "none", "--clips", "none")
    assert main([*places, "--output", str(figures), "--case", "`mediapipe`"]) == 0
    assert capsys.readouterr().out == tables({"`mediapipe`": FIGURES})


def test_the_tables_say_what_was_measured() -> None:
    text = tables({"x": FIGURES})
    assert "| x | 0.100 | 0.200 | 0.300 | 4.0 | 20.0 | 1.50 | 3.0 (1.0) | 2.0 | Apache" in text
    assert "| x | 2.50 | 1.50 (1.50) | 50.0 (25.0) | 80.0 (80.0) | 3.0 (3.0) |" in text
