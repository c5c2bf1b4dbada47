"""Messages of array checks."""

import numpy as np
import pytest

from schemas.checks import check_array


def test_fitting_array_passes() -> None:
    check_array("flow", np.zeros((4, 5, 2), np.float32), dtype=np.float32, axes="H W C", C=2)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            np.zeros((2, 4, 5), np.float32),
            "flow must be float32 [H, W, C] with C=2, got float32 [2, 4, 5]",
        ),
        (
            np.zeros((4, 5, 2)),
            "flow must be float32 [H, W, C] with C=2, got float64 [4, 5, 2]",
        ),
        (
            np.zeros((4, 2), np.float32),
            "flow must be float32 [H, W, C] with C=2, got float32 [4, 2]",
        ),
    ],
)
def test_other_array_is_refused_with_both_shapes(value: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        check_array("flow", value, dtype=np.float32, axes="H W C", C=2)
    assert str(caught.value) == message


def test_non_array_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"^mask must be bool \[H, W\], got list$"):
        check_array("mask", [[True]], dtype=np.bool_, axes="H W")
