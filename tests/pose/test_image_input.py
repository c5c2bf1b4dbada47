import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose.image_input import crop_matrix, cut_person, from_crop, letterbox
from pose.model_spec import IMAGENET_MEAN, IMAGENET_STD, ModelSpec
from schemas.errors import ConfigError

DETECTOR = ModelSpec(head="yolox", input_width=64, input_height=32, channels="bgr")
CROP = ModelSpec(head="heatmap", input_width=192, input_height=256)


def test_a_frame_lies_in_the_corner_and_the_rest_is_padding() -> None:
    frame = np.full((64, 64, 3), (10, 20, 30), np.uint8)
    batch, placement = letterbox(frame, DETECTOR)
    assert batch.shape == (1, 3, 32, 64)
    assert (placement.scale, placement.left, placement.top) == (0.5, 0, 0)
    assert batch[0, :, 0, 0].tolist() == [30, 20, 10]  # BGR
    assert batch[0, :, 31, 31].tolist() == [30, 20, 10]
    assert batch[0, :, 0, 32].tolist() == [114] * 3


def test_a_centred_frame_has_padding_on_both_sides() -> None:
    spec = ModelSpec(head="yolox", input_width=64, input_height=32, letterbox="centre")
    batch, placement = letterbox(np.full((64, 64, 3), 7, np.uint8), spec)
    assert (placement.left, placement.top) == (16, 0)
    assert batch[0, 0, 5, [15, 16, 47, 48]].tolist() == [114, 7, 7, 114]
    points = np.array([[16, 0], [48, 32]], np.float32)
    assert placement.to_frame(points).tolist() == [[0, 0], [64, 64]]


def test_colours_are_normalised_in_the_order_of_the_input() -> None:
    spec = ModelSpec(
        head="heatmap", input_width=8, input_height=8, mean=IMAGENET_MEAN, std=IMAGENET_STD
    )
    frame = np.full((8, 8, 3), (255, 128, 0), np.uint8)
    crop = cut_person(frame, np.eye(2, 3), spec)
    wanted = (np.array([255, 128, 0]) - IMAGENET_MEAN) / IMAGENET_STD
    np.testing.assert_allclose(crop[:, 4, 4], wanted, rtol=1e-5)


def test_the_crop_is_a_quarter_larger_than_the_box_and_keeps_its_centre() -> None:
    matrix = crop_matrix(np.array([100, 50, 160, 250], np.float32), CROP)  # 60 x 200 -> 150 x 200
    corners = from_crop(np.array([[0, 0], [192, 256]], np.float32), matrix)
    np.testing.assert_allclose(corners, [[130 - 93.75, 150 - 125], [130 + 93.75, 150 + 125]])


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 400), st.integers(1, 400))
def test_from_crop_inverts_the_crop(x: int, y: int, width: int, height: int) -> None:
    matrix = crop_matrix(np.array([x, y, x + width, y + height], np.float32), CROP)
    points = np.array([[x, y], [x + width, y + height]], np.float32)
    there = points @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(from_crop(there.astype(np.float32), matrix), points, atol=0.01)


def test_a_dot_in_the_frame_is_at_its_place_in_the_crop() -> None:
    frame = np.zeros((100, 100, 3), np.uint8)
    frame[40, 60] = 255
    box = np.array([20, 20, 80, 80], np.float32)
    matrix = crop_matrix(box, CROP)
    crop = cut_person(frame, matrix, CROP)[0]
    row, column = np.unravel_index(crop.argmax(), crop.shape)
    there = from_crop(np.array([column, row], np.float32), matrix)
    np.testing.assert_allclose(there, [60, 40], atol=0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_width": 0}, "input_width must be >= 1, got 0"),
        ({"std": (1.0, 0.0, 1.0)}, "std must be > 0 each"),
        ({"pad_value": 256}, "pad_value must be 0 to 255, got 256"),
        ({"box_scale": 0.0}, "box_scale must be > 0, got 0.0"),
        ({"keypoints": (0, 1)}, r"keypoints must be 17 indices, got \(0, 1\)"),
    ],
)
def test_impossible_specs_are_refused(changes: dict[str, object], message: str) -> None:
    values: dict[str, object] = {"head": "heatmap", "input_width": 8, "input_height": 8}
    with pytest.raises(ConfigError, match=message):
        ModelSpec(**{**values, **changes})  # type: ignore[arg-type]
