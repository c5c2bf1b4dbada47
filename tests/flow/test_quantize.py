"""Flow and persistence of appearance to 8 bit and back."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flow.quantize import (
    count_saturated,
    dequantize_flow,
    dequantize_pa,
    quantize_flow,
    quantize_pa,
)

Float32 = npt.NDArray[np.float32]
BOUNDS = st.sampled_from([0.5, 1.0, 7.3, 15.0, 20.0, 32.0, 127.5, 1000.0])


def fields(limit: float) -> st.SearchStrategy[Float32]:
    values = st.floats(-limit, limit, width=32)
    shapes = hnp.array_shapes(min_dims=1, max_dims=3, max_side=4).map(lambda s: (*s, 2))
    return hnp.arrays(np.float32, shapes, elements=values)


@settings(max_examples=80, derandomize=True, deadline=None)
@given(share=fields(1.0), bound=BOUNDS)
def test_round_trip_is_at_most_half_a_step_off(share: Float32, bound: float) -> None:
    flow = (share * bound).astype(np.float32)
    back = dequantize_flow(quantize_flow(flow, bound_px=bound), bound_px=bound)
    assert back.dtype == np.float32
    assert back.shape == flow.shape
    assert np.abs(back.astype(np.float64) - flow).max() <= bound / 255 * (1 + 1e-4)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(bound=st.floats(1e-3, 1e4))
def test_every_code_comes_back(bound: float) -> None:
    codes = np.arange(256, dtype=np.uint8).reshape(128, 2)
    flow = dequantize_flow(codes, bound_px=bound)
    np.testing.assert_array_equal(quantize_flow(flow, bound_px=bound), codes)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(flow=fields(1e6), bound=BOUNDS)
def test_clipping_is_symmetric(flow: Float32, bound: float) -> None:
    positive = quantize_flow(np.abs(flow), bound_px=bound).astype(int)
    negative = quantize_flow(-np.abs(flow), bound_px=bound).astype(int)
    assert positive.min() >= 127
    assert np.abs(positive + negative - 255).max() <= 1
    beyond = np.abs(flow) >= bound
    assert (positive[beyond] == 255).all()
    assert (negative[beyond] == 0).all()


@settings(max_examples=60, derandomize=True, deadline=None)
@given(flow=fields(30.0), bound=BOUNDS)
def test_more_motion_never_gets_a_smaller_code(flow: Float32, bound: float) -> None:
    order = np.argsort(flow, axis=None)
    codes = quantize_flow(flow, bound_px=bound).ravel()[order].astype(int)
    assert (np.diff(codes) >= 0).all()


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0.0, 128),
        (-20.0, 0),
        (20.0, 255),
        (-1e9, 0),
        (1e9, 255),
        (np.inf, 255),
        (-np.inf, 0),
        (1.0, 134),  # 255 * 21 / 40 = 133.9
        (-1.0, 121),  # 255 * 19 / 40 = 121.1
        (10.0, 191),  # 191.25: rounded, not up
        (19.9, 254),  # 254.4
    ],
)
def test_codes_of_the_default_bound_are_denseflows(value: float, code: int) -> None:
    flow = np.array([[value, 0]], np.float32)
    assert quantize_flow(flow).tolist() == [[code, 128]]


def test_zero_motion_comes_back_within_half_a_step() -> None:
    back = dequantize_flow(quantize_flow(np.zeros((1, 2), np.float32)))
    assert np.abs(back).max() == pytest.approx(20 / 255, rel=1e-5)


def test_inputs_are_not_modified() -> None:
    flow = np.array([[100.0, -3.0]], np.float32)
    quantize_flow(flow)
    assert flow.tolist() == [[100.0, -3.0]]
    code = np.array([[7, 9]], np.uint8)
    dequantize_flow(code)
    assert code.tolist() == [[7, 9]]


@pytest.mark.parametrize(
    ("flow", "got"),
    [
        (np.zeros((2, 2), np.float64), r"float64 \[2, 2\]"),
        (np.zeros((2, 3), np.float32), r"float32 \[2, 3\]"),
        (np.zeros((), np.float32), r"float32 \[\]"),
    ],
)
def test_other_arrays_are_refused(flow: Float32, got: str) -> None:
    with pytest.raises(ValueError, match=rf"^flow must be float32 \[\.\.\., 2\], got {got}$"):
        quantize_flow(flow)


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan")])
def test_bound_must_be_positive(bound: float) -> None:
    flow = np.zeros((1, 1, 1, 2), np.float32)
    message = rf"^bound_px must be > 0, got {bound}$"
    with pytest.raises(ValueError, match=message):
        quantize_flow(flow, bound_px=bound)
    with pytest.raises(ValueError, match=message):
        dequantize_flow(np.zeros((1, 2), np.uint8), bound_px=bound)


def test_vector_is_saturated_if_either_component_reaches_the_bound() -> None:
    flow = np.array([[0, 0], [19.8, 0], [20, 0], [0, -25], [-25, 25]], np.float32)
    assert count_saturated(quantize_flow(flow, bound_px=20)) == 3


@settings(max_examples=60, derandomize=True, deadline=None)
@given(shares=hnp.arrays(np.float32, 5, elements=st.floats(0, 1, width=32)), bound=BOUNDS)
def test_pa_is_at_most_half_a_step_off(shares: Float32, bound: float) -> None:
    pa = (shares * bound).astype(np.float32)
    back = dequantize_pa(quantize_pa(pa, bound=bound), bound=bound)
    assert back.dtype == np.float32
    assert np.abs(back.astype(np.float64) - pa).max() <= bound / 510 * (1 + 1e-4)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(bound=st.floats(1e-3, 1e4))
def test_every_code_of_pa_comes_back(bound: float) -> None:
    codes = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(
        quantize_pa(dequantize_pa(codes, bound=bound), bound=bound), codes
    )


def test_no_change_is_code_zero_and_beyond_the_bound_is_the_last() -> None:
    pa = np.float32([0, np.sqrt(8) * 1e-6, 0.25, 0.5, 9])
    assert quantize_pa(pa).tolist() == [0, 0, 128, 255, 255]


def test_pa_of_another_dtype_or_bound_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^pa must be float32, got float64 \[2\]$"):
        quantize_pa(np.zeros(2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^bound must be > 0, got 0$"):
        quantize_pa(np.zeros(2, np.float32), bound=0)
    with pytest.raises(ValueError, match=r"^bound must be > 0, got -1$"):
        dequantize_pa(np.zeros(2, np.uint8), bound=-1)
