"""Middlebury `.flo` files."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flow.flo_file import decode_flo, encode_flo


@settings(max_examples=40, derandomize=True, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(2)),
        elements=st.floats(width=32, allow_nan=False),
    )
)
def test_round_trip_is_exact(flow: np.ndarray) -> None:
    back = decode_flo(encode_flo(flow))
    assert back.dtype == np.float32
    assert back.tobytes() == flow.tobytes()
    assert back.shape == flow.shape


def test_bytes_are_those_of_the_middlebury_format() -> None:
    flow = np.array([[[1, 2], [3, 4], [5, 6]]], np.float32)
    expected = struct.pack("<fii6f", 202021.25, 3, 1, 1, 2, 3, 4, 5, 6)
    assert encode_flo(flow) == expected


def test_strided_field_is_written_in_row_order() -> None:
    flow = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    turned = flow.transpose(1, 0, 2)
    np.testing.assert_array_equal(decode_flo(encode_flo(turned)), turned)


def test_decoded_field_can_be_changed() -> None:
    back = decode_flo(encode_flo(np.zeros((1, 1, 2), np.float32)))
    back += 1
    assert back.tolist() == [[[1, 1]]]


@pytest.mark.parametrize("data", [b"", b"PIEH", b"HEIP" + bytes(16), b"PIEH\x01\x00\x00"])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^flo file must start with b'PIEH', got b'"):
        decode_flo(data)


@pytest.mark.parametrize("change", [-1, -8, 1])
def test_short_and_long_files_are_refused(change: int) -> None:
    data = encode_flo(np.zeros((3, 2, 2), np.float32)) + bytes(1)
    message = rf"^flo file of 2x3 must have 60 bytes, got {60 + change}$"
    with pytest.raises(ValueError, match=message):
        decode_flo(data[: 60 + change])


@pytest.mark.parametrize(("width", "height"), [(0, 3), (3, 0), (-1, -1)])
def test_empty_and_negative_sizes_are_refused(width: int, height: int) -> None:
    data = struct.pack("<4sii", b"PIEH", width, height)
    with pytest.raises(ValueError, match=rf"^flo file of {width}x{height} must have"):
        decode_flo(data)


def test_other_arrays_are_refused() -> None:
    message = r"^flow must be float32 \[H, W, C\] with C=2, got float64 \[2, 2, 2\]$"
    with pytest.raises(ValueError, match=message):
        encode_flo(np.zeros((2, 2, 2)))  # type: ignore[arg-type]
