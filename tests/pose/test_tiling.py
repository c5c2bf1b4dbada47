import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose.estimator import FramePoses, empty_frame_poses
from pose.landmarks import poses_with_boxes
from pose.tiling import (
    Square,
    cut_square,
    detect_in_square,
    square_around,
    tile_squares,
    whole_frame,
)


@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    tiles_across=st.integers(1, 4),
    overlap=st.floats(0, 0.9),
)
def test_tiles_cover_every_pixel_and_stay_inside(
    width: int, height: int, tiles_across: int, overlap: float
) -> None:
    covered = np.zeros((height, width), bool)
    if min(width, height) // tiles_across < 8:
        return
    for tile in tile_squares(
        width=width, height=height, tiles_across=tiles_across, overlap=overlap
    ):
        assert tile.left >= 0
        assert tile.top >= 0
        assert tile.left + tile.side <= width
        assert tile.top + tile.side <= height
        covered[tile.top : tile.top + tile.side, tile.left : tile.left + tile.side] = True
    assert covered.all()


def test_neighbouring_tiles_overlap_as_asked() -> None:
    tiles = tile_squares(width=340, height=100, tiles_across=1, overlap=0.5)
    lefts = [tile.left for tile in tiles]
    assert max(np.diff(lefts)) <= 50


def test_the_whole_frame_is_in_the_middle_of_its_square() -> None:
    assert whole_frame(width=100, height=60) == Square(0, -20, 100)


def test_a_square_around_a_box_shares_its_centre() -> None:
    box = np.array([10, 20, 30, 60], np.float32)
    assert square_around(box, scale=2) == Square(-20, 0, 80)


def test_a_cut_is_black_outside_of_the_frame() -> None:
    frame = np.full((4, 6, 3), 200, np.uint8)
    piece = cut_square(frame, Square(-2, -1, 5))
    assert piece.shape == (5, 5, 3)
    assert not piece[0].any()
    assert not piece[:, :2].any()
    assert (piece[1:, 2:] == 200).all()


def test_a_square_beside_the_frame_is_black() -> None:
    frame = np.full((4, 6, 3), 200, np.uint8)
    assert not cut_square(frame, Square(50, 50, 5)).any()


def test_found_people_are_moved_into_the_frame() -> None:
    points = np.linspace(2, 20, 34, dtype=np.float32).reshape(1, 17, 2)
    found = poses_with_boxes(points, np.ones((1, 17), np.float32), width=40, height=40)
    frame = np.zeros((100, 100, 3), np.uint8)
    moved = detect_in_square(frame, Square(30, 10, 40), lambda _piece: found)
    np.testing.assert_allclose(moved.keypoints, points + np.array([30, 10]), rtol=1e-6)
    np.testing.assert_allclose(moved.boxes, found.boxes + np.array([30, 10, 30, 10]), rtol=1e-6)


def test_keypoints_outside_of_the_frame_are_not_detected() -> None:
    points = np.full((1, 17, 2), 5, np.float32)
    points[0, 0] = (38, 5)
    found = poses_with_boxes(points, np.ones((1, 17), np.float32), width=40, height=40)
    frame = np.zeros((100, 100, 3), np.uint8)
    moved = detect_in_square(frame, Square(70, 10, 40), lambda _piece: found)
    assert moved.scores[0, 0] == 0
    assert (moved.scores[0, 1:] == 1).all()
    assert moved.boxes.max() <= 99.5


@pytest.mark.parametrize("square", [Square(0, 0, 10), Square(-5, 3, 10)])
def test_a_frame_without_people_stays_empty(square: Square) -> None:
    def nobody(_piece: object) -> FramePoses:
        return empty_frame_poses()

    assert detect_in_square(np.zeros((20, 20, 3), np.uint8), square, nobody).num_people == 0
