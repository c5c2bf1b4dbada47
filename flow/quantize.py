"""Flow, and persistence of appearance, to 8 bit and back, one bound both ways."""

import numpy as np
import numpy.typing as npt

DEFAULT_BOUND_PX = 20.0
DEFAULT_PA_BOUND = 0.5


def quantize_flow(
    flow: npt.NDArray[np.float32], *, bound_px: float = DEFAULT_BOUND_PX
) -> npt.NDArray[np.uint8]:
    """Clip flow to +-bound_px and round it to 8 bit.

    Args:
        flow: float32 [..., 2], (dx, dy) in pixels per frame step. Not modified.
        bound_px: Displacements beyond +-bound_px are clipped. > 0.

    Returns:
        uint8 of the same shape; 0 = -bound_px, 255 = +bound_px; zero motion gives 128.

    Raises:
        ValueError: If flow is not float32 with a last axis of 2, or bound_px <= 0.

    References:
        denseflow / TSN `CAST`: round(255 * (v + b) / (2 * b)).
    """
    _check_bound("bound_px", bound_px)
    if flow.dtype != np.float32 or flow.ndim < 1 or flow.shape[-1] != 2:
        shape = f"{flow.dtype.name} {list(flow.shape)}"
        raise ValueError(f"flow must be float32 [..., 2], got {shape}")
    levels = (np.clip(flow, -bound_px, bound_px) + bound_px) * (255.0 / (2.0 * bound_px))
    # Round half up: zero motion (127.5) is 128 whatever the platform's rounding of halves.
    code: npt.NDArray[np.uint8] = np.floor(levels + 0.5).astype(np.uint8)
    return code


def dequantize_flow(
    code: npt.NDArray[np.uint8], *, bound_px: float = DEFAULT_BOUND_PX
) -> npt.NDArray[np.float32]:
    """Return the flow that `quantize_flow` stored; at most bound_px / 255 off.

    Args:
        code: uint8 of any shape. Not modified.
        bound_px: The bound used to quantise. > 0.

    Returns:
        float32 of the same shape, in pixels; `quantize_flow` of it gives `code` again.

    Raises:
        ValueError: If bound_px <= 0.
    """
    _check_bound("bound_px", bound_px)
    flow: npt.NDArray[np.float32] = (
        code.astype(np.float32) * np.float32(2.0 * bound_px / 255.0) - np.float32(bound_px)
    ).astype(np.float32)
    return flow


def count_saturated(code: npt.NDArray[np.uint8]) -> int:
    """Return how many vectors reach the bound: displacements that clipping may have shortened.

    Args:
        code: uint8 [..., 2] of `quantize_flow`.
    """
    at_bound = (code == 0) | (code == 255)
    return int(np.count_nonzero(at_bound[..., 0] | at_bound[..., 1]))


def quantize_pa(
    pa: npt.NDArray[np.float32], *, bound: float = DEFAULT_PA_BOUND
) -> npt.NDArray[np.uint8]:
    """Clip persistence of appearance to 0..bound and round it to 8 bit.

    Args:
        pa: float32 of any shape, >= 0 (`flow.pa`). Not modified.
        bound: Larger values are clipped. > 0.

    Returns:
        uint8 of the same shape; 0 = no change, 255 = bound.

    Raises:
        ValueError: If pa is not float32, or bound <= 0.
    """
    _check_bound("bound", bound)
    if pa.dtype != np.float32:
        raise ValueError(f"pa must be float32, got {pa.dtype.name} {list(pa.shape)}")
    levels = np.clip(pa, 0, bound) * np.float32(255.0 / bound)
    code: npt.NDArray[np.uint8] = np.floor(levels + np.float32(0.5)).astype(np.uint8)
    return code


def dequantize_pa(
    code: npt.NDArray[np.uint8], *, bound: float = DEFAULT_PA_BOUND
) -> npt.NDArray[np.float32]:
    """Return the persistence of appearance that `quantize_pa` stored; at most bound / 510 off.

    Args:
        code: uint8 of any shape. Not modified.
        bound: The bound used to quantise. > 0.

    Returns:
        float32 of the same shape; `quantize_pa` of it gives `code` again.

    Raises:
        ValueError: If bound <= 0.
    """
    _check_bound("bound", bound)
    pa: npt.NDArray[np.float32] = code.astype(np.float32) * np.float32(bound / 255.0)
    return pa


def _check_bound(name: str, bound: float) -> None:
    if not bound > 0:
        raise ValueError(f"{name} must be > 0, got {bound}")
