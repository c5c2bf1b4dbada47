import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose.keypoint_maps import decode_keypoints, peaks_of_heatmaps
from pose.model_spec import ModelSpec
from schemas.errors import ConfigError

HEATMAP = ModelSpec(head="heatmap", input_width=192, input_height=256)
SIMCC = ModelSpec(head="simcc", input_width=192, input_height=256)


def gaussian(x: float, y: float, *, peak: float = 0.8) -> npt.NDArray[np.float32]:
    rows, columns = np.mgrid[:64, :48]
    return (peak * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)).astype(np.float32)


@given(st.floats(3, 44), st.floats(3, 60))
def test_the_centre_of_a_gaussian_is_found_to_a_hundredth_of_a_cell(x: float, y: float) -> None:
    points, _scores = peaks_of_heatmaps(gaussian(x, y)[None, None])
    np.testing.assert_allclose(points[0, 0], [x, y], atol=0.01)


def test_keypoints_are_in_pixels_of_the_crop_and_scores_are_peaks() -> None:
    maps = np.stack([gaussian(10 + k, 20 + k, peak=0.5) for k in range(17)])[None]
    points, scores = decode_keypoints([maps], HEATMAP)
    np.testing.assert_allclose(points[0, 3], [4 * 13, 4 * 23], atol=0.05)
    np.testing.assert_allclose(scores, 0.5, atol=1e-3)


def test_a_peak_at_the_border_stays_where_it_is() -> None:
    points, _scores = peaks_of_heatmaps(gaussian(0, 63)[None, None])
    assert points[0, 0].tolist() == [0, 63]


def test_an_empty_map_gives_a_keypoint_that_is_not_detected() -> None:
    points, scores = peaks_of_heatmaps(np.zeros((1, 1, 64, 48), np.float32))
    assert np.isfinite(points).all()
    assert scores.tolist() == [[0]]


def test_maps_are_not_modified() -> None:
    maps = gaussian(20, 20)[None, None]
    before = maps.copy()
    peaks_of_heatmaps(maps)
    np.testing.assert_array_equal(maps, before)


def test_lines_of_simcc_have_two_bins_per_pixel_and_the_weaker_axis_counts() -> None:
    lines_x, lines_y = np.zeros((1, 17, 384), np.float32), np.zeros((1, 17, 512), np.float32)
    lines_x[0, :, 100], lines_y[0, :, 301] = 0.9, 0.6
    points, scores = decode_keypoints([lines_x, lines_y], SIMCC)
    assert points[0, 0].tolist() == [50, 150.5]
    np.testing.assert_allclose(scores, 0.6)


def test_keypoints_in_another_order_are_put_in_that_of_coco() -> None:
    order = tuple(range(16, -1, -1))
    spec = ModelSpec(head="heatmap", input_width=192, input_height=256, keypoints=order)
    maps = np.stack([gaussian(5 + 2 * k, 30) for k in range(17)])[None]
    points, _scores = decode_keypoints([maps], spec)
    np.testing.assert_allclose(points[0, :, 0], [4 * (5 + 2 * k) for k in order], atol=0.05)


@pytest.mark.parametrize(
    ("spec", "shapes"),
    [
        (HEATMAP, [(1, 16, 64, 48)]),
        (HEATMAP, [(1, 17, 384)]),
        (SIMCC, [(1, 17, 384)]),
    ],
)
def test_outputs_of_another_model_are_refused(
    spec: ModelSpec, shapes: list[tuple[int, ...]]
) -> None:
    with pytest.raises(ConfigError, match="with at least 17 keypoints"):
        decode_keypoints([np.zeros(shape, np.float32) for shape in shapes], spec)
