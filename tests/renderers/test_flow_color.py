"""The colour wheel of Baker et al. 2011, against values worked out by hand."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from renderers.flow_color import color_wheel, draw_flow_legend, flow_to_color


def color_of(dx: float, dy: float, *, max_px: float | None = 1.0) -> list[int]:
    flow = np.array([[[dx, dy]]], np.float32)
    code: list[int] = flow_to_color(flow, max_px=max_px)[0, 0].tolist()
    return code


@pytest.mark.parametrize(
    ("index", "color"),
    [
        (0, (255, 0, 0)),
        (1, (255, 17, 0)),  # 255 / 15 more green
        (15, (255, 255, 0)),
        (18, (128, 255, 0)),  # half of six steps less red: 255 - floor(127.5)
        (21, (0, 255, 0)),
        (25, (0, 255, 255)),
        (36, (0, 0, 255)),
        (49, (255, 0, 255)),
        (54, (255, 0, 43)),  # 255 - floor(255 * 5 / 6)
    ],
)
def test_wheel_has_the_published_colors(index: int, color: tuple[int, int, int]) -> None:
    assert color_wheel().shape == (55, 3)
    assert tuple(color_wheel()[index]) == color


@pytest.mark.parametrize(
    ("vector", "color"),
    [
        ((1, 0), [255, 0, 0]),  # position 0: red
        ((1, -0.0), [255, 0, 0]),
        ((0, 1), [255, 229, 0]),  # position 13.5: green 13.5 * 17 = 229.5, floored entries 221, 238
        ((-1, 0), [0, 209, 255]),  # position 27: two of eleven steps from cyan, 255 - floor(46.4)
        ((0, -1), [88, 0, 255]),  # position 40.5: between 4 and 5 of 13 steps, (78 + 98) / 2
    ],
)
def test_direction_gives_the_hue(vector: tuple[float, float], color: list[int]) -> None:
    np.testing.assert_allclose(color_of(*vector), color, atol=1)


def test_zero_flow_is_white() -> None:
    assert color_of(0, 0) == [255, 255, 255]
    assert color_of(0, 0, max_px=None) == [255, 255, 255]


def test_half_the_displacement_is_half_as_saturated() -> None:
    assert color_of(1, 0, max_px=2.0) == [255, 128, 128]


def test_longer_than_max_px_is_darkened_to_three_quarters() -> None:
    assert color_of(2, 0) == [191, 0, 0]


def test_without_max_px_the_longest_known_vector_is_saturated() -> None:
    flow = np.array([[[3, 0], [1.5, 0], [2e9, 0]]], np.float32)
    assert flow_to_color(flow)[0].tolist() == [[255, 0, 0], [255, 128, 128], [0, 0, 0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2e9, -2e9])
def test_unknown_flow_is_black(bad: float) -> None:
    assert color_of(bad, 0) == color_of(0, bad) == [0, 0, 0]


def test_scaling_flow_and_max_px_together_changes_nothing() -> None:
    flow = np.random.default_rng(1).normal(size=(9, 7, 2)).astype(np.float32)
    np.testing.assert_array_equal(
        flow_to_color(flow, max_px=2.0), flow_to_color(flow * np.float32(4), max_px=8.0)
    )


def test_flow_argument_is_not_modified() -> None:
    flow = np.array([[[np.nan, 1], [0.5, -0.0]]], np.float32)
    before = flow.copy()
    flow_to_color(flow)
    assert flow.tobytes() == before.tobytes()


def test_frame_without_pixels_stays_empty() -> None:
    assert flow_to_color(np.zeros((0, 4, 2), np.float32)).shape == (0, 4, 3)


@pytest.mark.parametrize("max_px", [0.0, -1.0, np.inf, np.nan])
def test_max_px_must_be_positive_and_finite(max_px: float) -> None:
    with pytest.raises(ValueError, match=f"max_px must be > 0 and finite, got {max_px}"):
        color_of(1, 0, max_px=max_px)


@pytest.mark.parametrize(
    ("flow", "error", "message"),
    [
        (np.zeros((2, 4, 5), np.float32), ValueError, r"C=2, got float32 \[2, 4, 5\]"),
        (np.zeros((4, 5, 2)), ValueError, r"flow must be float32 .* got float64 \[4, 5, 2\]"),
        ([[0, 0]], TypeError, "flow must be float32 .* got list"),
    ],
)
def test_flow_of_another_shape_or_type_is_rejected(
    flow: npt.NDArray[Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        flow_to_color(flow)


def test_legend_shows_the_color_of_each_direction_in_the_corner() -> None:
    image = np.full((60, 80, 3), 7, np.uint8)
    marked = draw_flow_legend(image, diameter_px=41)
    assert (image == 7).all()
    assert (marked[:19] == 7).all()
    assert (marked[:, :39] == 7).all()
    center = marked[60 - 21, 80 - 21]
    np.testing.assert_allclose(center, 255, atol=8)
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        flow = np.full((1, 1, 2), (dx * 0.8, dy * 0.8), np.float32)
        seen = marked[60 - 21 + round(dy * 16.4), 80 - 21 + round(dx * 16.4)]
        np.testing.assert_allclose(
            seen.astype(int), flow_to_color(flow, max_px=1.0)[0, 0].astype(int), atol=12
        )


@pytest.mark.parametrize("diameter_px", [0, 61])
def test_legend_must_fit_into_the_image(diameter_px: int) -> None:
    with pytest.raises(ValueError, match=f"diameter_px must be 1 to 60, got {diameter_px}"):
        draw_flow_legend(np.zeros((60, 80, 3), np.uint8), diameter_px=diameter_px)
