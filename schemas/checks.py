"""Checks of array arguments whose messages all read alike."""

from typing import Any

import numpy as np
import numpy.typing as npt


def check_array(
    name: str,
    value: object,
    *,
    dtype: npt.DTypeLike,
    axes: str,
    **sizes: int,
) -> None:
    """Raise unless `value` is an array of the given dtype and axes.

    Args:
        name: The argument's name in the message.
        value: What the caller passed.
        dtype: The exact dtype required.
        axes: Names of the axes separated by spaces, for example "T H W C".
        **sizes: Required lengths of named axes, for example C=3.

    Raises:
        TypeError: If `value` is not an array.
        ValueError: If dtype, number of axes or a required length differs.
    """
    if not isinstance(value, np.ndarray):
        wanted = _describe(dtype, axes, sizes)
        raise TypeError(f"{name} must be {wanted}, got {type(value).__name__}")
    array: npt.NDArray[Any] = value
    names = axes.split()
    fits = array.dtype == np.dtype(dtype) and array.ndim == len(names)
    if fits:
        fits = all(array.shape[names.index(axis)] == size for axis, size in sizes.items())
    if not fits:
        wanted = _describe(dtype, axes, sizes)
        raise ValueError(f"{name} must be {wanted}, got {array.dtype.name} {list(array.shape)}")


def _describe(dtype: npt.DTypeLike, axes: str, sizes: dict[str, int]) -> str:
    """What is wanted; made only for a message, as arrays are checked several times per frame."""
    wanted = f"{np.dtype(dtype).name} [{', '.join(axes.split())}]"
    if sizes:
        wanted += " with " + ", ".join(f"{axis}={size}" for axis, size in sizes.items())
    return wanted
