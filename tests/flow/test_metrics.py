"""End-point error and energy against plain loops."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from flow.metrics import endpoint_error, tvl1_energy

Float32 = npt.NDArray[np.float32]
ZERO = np.zeros((2, 3, 2), np.float32)


def field(*vectors: tuple[float, float]) -> Float32:
    return np.array([vectors], np.float32)


def test_error_of_a_known_field() -> None:
    flow = field((3, 4), (0, 0), (1, 0))
    assert endpoint_error(flow, field((0, 0), (0, 0), (0, 0))) == pytest.approx(2.0)


def test_error_equals_a_plain_loop() -> None:
    generator = np.random.default_rng(3)
    flow, truth = generator.normal(size=(2, 5, 7, 2)).astype(np.float32)
    lengths = [
        math.dist(flow[row, column].tolist(), truth[row, column].tolist())
        for row in range(5)
        for column in range(7)
    ]
    assert endpoint_error(flow, truth) == pytest.approx(sum(lengths) / 35, rel=1e-6)


@pytest.mark.parametrize("unknown", [1e10, -1e10, np.inf, np.nan])
def test_unknown_pixels_do_not_count(unknown: float) -> None:
    truth = field((0, 0), (unknown, 0), (0, unknown))
    assert endpoint_error(field((3, 4), (9, 9), (9, 9)), truth) == 5.0


def test_masked_pixels_do_not_count() -> None:
    mask = np.array([[False, True]])
    assert endpoint_error(field((9, 9), (3, 4)), field((0, 0), (0, 0)), mask=mask) == 5.0
    assert mask.tolist() == [[False, True]]


def test_unknown_pixels_inside_the_mask_do_not_count() -> None:
    mask = np.array([[True, True, False]])
    truth = field((0, 0), (1e10, 0), (0, 0))
    assert endpoint_error(field((3, 4), (9, 9), (9, 9)), truth, mask=mask) == 5.0


def test_no_known_pixel_is_refused() -> None:
    message = r"^truth must have a known pixel inside the mask, got none$"
    with pytest.raises(ValueError, match=message):
        endpoint_error(ZERO, ZERO, mask=np.zeros((2, 3), np.bool_))
    with pytest.raises(ValueError, match=message):
        endpoint_error(ZERO, ZERO + np.float32(2e9))


@pytest.mark.parametrize(
    ("flow", "truth", "mask", "message"),
    [
        (ZERO[0], ZERO, None, r"flow must be float32 \[H, W, C\] with C=2"),
        (
            ZERO,
            ZERO[:1],
            None,
            r"truth must be .* with H=2, W=3, C=2, got float32 \[1, 3, 2\]",
        ),
        (ZERO, ZERO, np.ones((2, 3)), r"mask must be bool \[H, W\] with H=2, W=3, got float64"),
    ],
)
def test_other_arrays_are_refused(
    flow: Float32, truth: Float32, mask: npt.NDArray[np.bool_] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        endpoint_error(flow, truth, mask=mask)


def loop_energy(
    frame0: npt.NDArray[np.uint8], frame1: npt.NDArray[np.uint8], flow: Float32, weight: float
) -> float:
    """Energy of a whole-pixel flow, pixel by pixel; outside the frame the border repeats."""
    height, width = frame0.shape
    total = 0.0
    for row in range(height):
        for column in range(width):
            dx, dy = (float(value) for value in flow[row, column])
            source_row = min(max(row + int(dy), 0), height - 1)
            source_column = min(max(column + int(dx), 0), width - 1)
            total += weight * abs(
                float(frame1[source_row, source_column]) - float(frame0[row, column])
            )
            for axis in range(2):
                here = float(flow[row, column, axis])
                right = float(flow[row, min(column + 1, width - 1), axis])
                below = float(flow[min(row + 1, height - 1), column, axis])
                total += math.hypot(right - here, below - here)
    return total / (height * width)


def test_energy_of_whole_pixel_flow_equals_a_plain_loop() -> None:
    generator = np.random.default_rng(5)
    frame0, frame1 = generator.integers(0, 256, (2, 6, 5), dtype=np.uint8)
    flow = generator.integers(-2, 3, (6, 5, 2)).astype(np.float32)
    for weight in (0.15, 1.0):
        energy = tvl1_energy(frame0, frame1, flow, attachment=weight)
        assert energy == pytest.approx(loop_energy(frame0, frame1, flow, weight), rel=1e-5)


def test_energy_of_the_true_shift_is_below_that_of_no_motion() -> None:
    wide = np.random.default_rng(6).integers(0, 256, (20, 24), dtype=np.uint8)
    frame0, frame1 = wide[:, 2:22], wide[:, :20]  # content moves right by 2
    flow = np.zeros((20, 20, 2), np.float32)
    still = tvl1_energy(frame0, frame1, flow)
    flow[..., 0] = 2
    assert tvl1_energy(frame0, frame1, flow) < 0.2 * still


def test_energy_of_equal_frames_without_motion_is_zero() -> None:
    frame = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert tvl1_energy(frame, frame, np.zeros((3, 4, 2), np.float32)) == 0.0


def test_energy_does_not_modify_its_inputs() -> None:
    generator = np.random.default_rng(7)
    frames = generator.integers(0, 256, (2, 5, 5), dtype=np.uint8)
    flow = generator.normal(size=(5, 5, 2)).astype(np.float32)
    copies = frames.copy(), flow.copy()
    tvl1_energy(frames[0], frames[1], flow)
    np.testing.assert_array_equal(frames, copies[0])
    np.testing.assert_array_equal(flow, copies[1])


@pytest.mark.parametrize(
    ("frame1", "flow", "message"),
    [
        (np.zeros((2, 2), np.uint8), ZERO, r"frame1 must be uint8 \[H, W\] with H=2, W=3"),
        (np.zeros((2, 3), np.uint8), ZERO[:1], r"flow must be float32 .* with H=2, W=3, C=2"),
    ],
)
def test_energy_refuses_other_shapes(
    frame1: npt.NDArray[np.uint8], flow: Float32, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tvl1_energy(np.zeros((2, 3), np.uint8), frame1, flow)


def test_energy_refuses_a_colour_frame() -> None:
    message = r"^frame0 must be uint8 \[H, W\], got uint8 \[2, 3, 3\]$"
    with pytest.raises(ValueError, match=message):
        tvl1_energy(np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3), np.uint8), ZERO)
