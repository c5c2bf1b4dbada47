import numpy as np
import numpy.typing as npt
import pytest

from pose.image_input import Placement
from pose.model_spec import SPECS, Head, ModelSpec
from pose.person_boxes import PersonBoxes, decode_boxes
from schemas.errors import ConfigError

SIDE = 64
NUM_CELLS = 8 * 8 + 4 * 4 + 2 * 2
HALF = Placement(scale=0.5, left=0, top=0)


def spec(head: Head) -> ModelSpec:
    return ModelSpec(head=head, input_width=SIDE, input_height=SIDE)


def decode(head: Head, *outputs: npt.NDArray[np.float32], least: float = 0.2) -> PersonBoxes:
    return decode_boxes(outputs, spec(head), HALF, min_score=least, max_iou=0.6)


def yolox_rows() -> npt.NDArray[np.float32]:
    """A person of 16 x 32 at stride 16, column 2, row 1; a cat at stride 8; a weak person."""
    rows = np.zeros((1, NUM_CELLS, 85), np.float32)
    place = 64 + 1 * 4 + 2
    rows[0, place, :6] = (0.5, 0.25, np.log(1), np.log(2), 0.9, 0.8)
    rows[0, 5, :7] = (0, 0, 0, 0, 0.9, 0.0, 0.9)
    rows[0, 0, :6] = (0, 0, 0, 0, 0.3, 0.5)
    return rows


def test_yolox_rows_become_boxes_of_people_in_the_frame() -> None:
    found = decode("yolox", yolox_rows())
    # Centre (2.5, 1.25) * 16 = (40, 20), size (16, 32), over a scale of a half.
    np.testing.assert_allclose(found.boxes, [[64, 8, 96, 72]])
    np.testing.assert_allclose(found.scores, [0.72])


def test_rtmdet_maps_become_boxes_of_people_in_the_frame() -> None:
    maps = [np.full((1, side, side, 5), -9, np.float32) for side in (8, 4, 2)]
    maps[0][0, 3, 2] = (2, 4, 8, 12, 16)  # anchor (16, 24)
    found = decode("rtmdet", *maps)
    np.testing.assert_allclose(found.boxes, [[24, 32, 56, 80]])
    np.testing.assert_allclose(found.scores, [1 / (1 + np.exp(-2))], rtol=1e-6)


def test_finished_detections_of_other_classes_are_left_out() -> None:
    boxes = np.array([[[0, 0, 10, 20, 0.9], [1, 2, 3, 4, 0.8], [5, 5, 9, 9, 0.1]]], np.float32)
    found = decode("detections", boxes, np.array([[1, 0, 0]], np.float32))
    assert found.boxes.tolist() == [[2, 4, 6, 8]]


def test_of_two_boxes_in_one_place_the_better_one_stays() -> None:
    boxes = np.array([[[0, 0, 10, 10, 0.5], [0, 0, 10, 11, 0.9], [20, 0, 30, 10, 0.7]]], np.float32)
    found = decode("detections", boxes)
    np.testing.assert_allclose(found.scores, [0.9, 0.7])
    assert found.boxes.tolist() == [[0, 0, 20, 22], [40, 0, 60, 20]]


def test_nobody_gives_no_boxes() -> None:
    assert decode("yolox", yolox_rows(), least=0.99).boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("head", "shapes"),
    [("yolox", [(1, 7, 85)]), ("rtmdet", [(1, 8, 8, 5)]), ("detections", [(1, 3, 4)])],
)
def test_outputs_of_another_model_are_refused(head: Head, shapes: list[tuple[int, ...]]) -> None:
    outputs = [np.zeros(shape, np.float32) for shape in shapes]
    with pytest.raises(ConfigError, match=rf"detector with head {head}.*; choose the spec"):
        decode(head, *outputs)


def test_specs_say_bgr_for_detectors_and_rgb_for_crops() -> None:
    for name, each in SPECS.items():
        is_crop = name.startswith(("heatmap", "simcc"))
        assert each.channels == ("rgb" if is_crop else "bgr"), name
