"""Strokes against an oracle that samples each pixel 32 x 32 times."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renderers.strokes import draw_strokes

SIZE = 48
BLACK = np.zeros((SIZE, SIZE, 3), np.uint8)
coordinate = st.floats(8, 39, width=32)


def draw_one(
    segment: list[list[float]], radius: float, color: tuple[int, int, int] = (255, 255, 255)
) -> npt.NDArray[np.uint8]:
    return draw_strokes(
        BLACK,
        np.array([segment], np.float32),
        np.array([radius], np.float32),
        np.array([color], np.uint8),
    )


def distance_to_segment(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], segment: list[list[float]]
) -> npt.NDArray[np.float64]:
    """Textbook distance: project on the segment, clamp, measure."""
    (ax, ay), (bx, by) = segment
    squared = (bx - ax) ** 2 + (by - ay) ** 2
    share = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / squared if squared else 0.0 * x
    share = np.clip(share, 0, 1)
    away: npt.NDArray[np.float64] = np.hypot(x - ax - share * (bx - ax), y - ay - share * (by - ay))
    return away


def sampled_coverage(segment: list[list[float]], radius: float) -> npt.NDArray[np.float64]:
    """Share of 32 x 32 sample points of each pixel that lie in the stroke."""
    offsets = (np.arange(32) + 0.5) / 32 - 0.5
    axis = (np.arange(SIZE)[:, None] + offsets).ravel()
    x, y = np.meshgrid(axis, axis)
    inside = distance_to_segment(x, y, segment) <= radius
    share: npt.NDArray[np.float64] = inside.reshape(SIZE, 32, SIZE, 32).mean(axis=(1, 3))
    return share


@settings(max_examples=10, deadline=None)  # the oracle takes 0.05 s
@given(coordinate, coordinate, coordinate, coordinate, st.floats(1, 6, width=32))
def test_stroke_covers_what_dense_sampling_finds(
    ax: float, ay: float, bx: float, by: float, radius: float
) -> None:
    segment = [[ax, ay], [bx, by]]
    drawn = draw_one(segment, radius)[..., 0] / 255.0
    wanted = sampled_coverage(segment, radius)
    assert np.abs(drawn - wanted).max() < 0.12
    assert drawn.sum() == pytest.approx(wanted.sum(), rel=0.07, abs=0.4)


@settings(max_examples=25, deadline=None)
@given(coordinate, coordinate, coordinate, coordinate)
def test_center_of_mass_is_the_middle_of_the_segment(
    ax: float, ay: float, bx: float, by: float
) -> None:
    mass = draw_one([[ax, ay], [bx, by]], 3.0)[..., 0].astype(np.float64)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    assert (mass * columns).sum() / mass.sum() == pytest.approx((ax + bx) / 2, abs=0.1)
    assert (mass * rows).sum() / mass.sum() == pytest.approx((ay + by) / 2, abs=0.1)


def test_one_pixel_disc_on_a_pixel_center_fills_that_pixel_only() -> None:
    frame = draw_one([[10, 20], [10, 20]], 0.5, (10, 20, 30))
    assert frame[20, 10].tolist() == [10, 20, 30]
    assert np.count_nonzero(frame.any(axis=-1)) == 1


def test_disc_between_two_pixels_covers_both_equally() -> None:
    frame = draw_one([[10.5, 20], [10.5, 20]], 0.5)
    assert frame[20, 10, 0] == frame[20, 11, 0] == 128


def test_later_stroke_is_on_top() -> None:
    segments = np.array([[[5, 20], [40, 20]], [[20, 5], [20, 40]]], np.float32)
    colors = np.array([[255, 0, 0], [0, 0, 255]], np.uint8)
    frame = draw_strokes(BLACK, segments, np.full(2, 3, np.float32), colors)
    assert frame[20, 20].tolist() == [0, 0, 255]
    assert frame[20, 8].tolist() == [255, 0, 0]


@pytest.mark.parametrize("corner", [[-20, -20], [90, 90], [-20, 24], [24, 90]])
def test_stroke_outside_the_frame_draws_nothing(corner: list[float]) -> None:
    np.testing.assert_array_equal(draw_one([corner, corner], 4.0), BLACK)


def test_stroke_over_the_edge_is_cut_off() -> None:
    frame = draw_one([[-10, 24], [60, 24]], 2.0)
    assert (frame[24] == 255).all()
    assert not frame[:20].any()


def test_no_strokes_return_a_copy() -> None:
    none = np.zeros((0, 2, 2), np.float32)
    frame = draw_strokes(BLACK, none, np.zeros(0, np.float32), np.zeros((0, 3), np.uint8))
    np.testing.assert_array_equal(frame, BLACK)
    assert not np.shares_memory(frame, BLACK)


def test_arguments_are_checked() -> None:
    segments, radii = np.zeros((2, 2, 2), np.float32), np.ones(2, np.float32)
    colors = np.zeros((2, 3), np.uint8)
    with pytest.raises(ValueError, match=r"frame must be uint8 \[H, W, C\] with C=3, got uint8"):
        draw_strokes(BLACK[..., :2], segments, radii, colors)
    with pytest.raises(ValueError, match=r"radii must be float32 \[N\] with N=2, got float32 \[1"):
        draw_strokes(BLACK, segments, radii[:1], colors)
    with pytest.raises(ValueError, match=r"colors must be uint8 \[N, C\] with N=2, C=3"):
        draw_strokes(BLACK, segments, radii, colors[:1])
    with pytest.raises(ValueError, match=r"segments must be float32 \[N, E, C\] with E=2, C=2"):
        draw_strokes(BLACK, segments[..., :1], radii, colors)
    with pytest.raises(TypeError, match=r"segments must be float32 .* got list"):
        draw_strokes(BLACK, [], radii, colors)  # type: ignore[arg-type]
